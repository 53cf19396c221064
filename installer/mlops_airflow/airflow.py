"""Airflow's command line as its units start it: `python -P -m mlops_airflow.airflow scheduler`.

With `tasks` it is the runner of tasks.py. It works around two faults. A module is started, not the
script `airflow`, because a process that a task spawns first runs the main module of its parent,
under the name `__mp_main__`.
"""

import sys

from mlops_airflow import callbacks, spawned, tasks

if __name__ == "__main__" and sys.argv[1:] == ["tasks"]:
    tasks.serve()
elif __name__ == "__main__":
    from airflow.__main__ import main

    if "dag-processor" in sys.argv:
        callbacks.forget_when_run()
    main()
elif __name__ == "__mp_main__":
    spawned.find_dag_files()
