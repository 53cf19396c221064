"""A run proves the whole way of a task: scheduler, executor, execution API, XCom and log."""

import platform

from airflow.sdk import dag, get_current_context, task


@task
def chirp() -> dict[str, str]:
    context = get_current_context()
    token = (context["dag_run"].conf or {}).get("token", "none")
    print(f"mlops-canary token={token}")
    return {
        "token": token,
        "instance": context["ti"].hostname or "",
        "python": platform.python_version(),
    }


@dag(schedule=None, catchup=False, tags=["mlops"], is_paused_upon_creation=False, max_active_runs=16)
def mlops_canary() -> None:
    chirp()


mlops_canary()
