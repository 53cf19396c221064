"""The DAG processor is kept from parsing a file all the time once a callback of it has run.

The callback of a run is called with the release that the run is pinned to. Airflow notes that call
like the parsing of a file, but without a time, and when it asks how long ago the file was parsed,
it finds this note (apache/airflow#73432, in 3.3.1 and 3.3.2). So the file is always due.
"""

from typing import Any


def forget_when_run() -> None:
    """Drop what is noted about callbacks before the DAG processor chooses the files to parse."""
    from airflow.dag_processing.manager import DagFileProcessorManager as Manager

    choose = Manager.prepare_file_queue

    def prepare_file_queue(self: Any, *args: Any, **kwargs: Any) -> None:
        for file in [file for file in self._file_stats if file.bundle_version]:
            del self._file_stats[file]
        choose(self, *args, **kwargs)

    Manager.prepare_file_queue = prepare_file_queue
