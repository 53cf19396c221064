"""Workflow releases as versions of a DAG bundle: a run keeps the release that it began with."""

from pathlib import Path
from typing import Any

from airflow.dag_processing.bundles import base
from mlops_server.layout import Layout


class ReleaseBundle(base.BaseDagBundle):
    """The DAGs of the release in force, or of the release that a run is pinned to.

    A version is the name of a release's folder. Nothing is fetched: root puts releases there.
    """

    supports_versioning = True

    def __init__(self, *, layout: Layout | None = None, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self._layout = layout or Layout()
        self._release: str = self.version or self._current()

    def _current(self) -> str:
        return self._layout.current_release.resolve().name

    def refresh(self) -> None:
        """See which release is in force."""
        if self.version is None:
            self._release = self._current()

    def get_current_version(self) -> Any:
        """The release that `path` is in, as this Airflow wants it: before 3.3 the bare name."""
        made = getattr(base, "BundleVersion", None)
        return made(version=self._release) if made else self._release

    @property
    def path(self) -> Path:
        """The folder with the DAG files."""
        return self._layout.releases / self._release / "dags"
