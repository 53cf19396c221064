"""What makes Airflow see this package as a provider. Importable without Airflow."""

from typing import Any

from mlops_airflow import __version__

NAME = "mlops-airflow"
SUMMARY = "Airflow tasks in the conda environment of a model"


def provider_info() -> dict[str, Any]:
    """What Airflow asks a provider for, through the entry point below."""
    return {
        "package-name": NAME,
        "name": "Conda environments",
        "description": SUMMARY,
        "task-decorators": [{"name": "conda", "class-name": "mlops_airflow.decorators.conda_task"}],
        "filesystems": ["mlops_airflow.objectstore"],
    }


def files() -> dict[str, str]:
    """The metadata folder to put beside the package: relative path -> text."""
    folder = f"{NAME.replace('-', '_')}-{__version__}.dist-info"
    return {
        f"{folder}/METADATA": (
            f"Metadata-Version: 2.1\nName: {NAME}\nVersion: {__version__}\nSummary: {SUMMARY}\n"
        ),
        f"{folder}/entry_points.txt": (
            f"[apache_airflow_provider]\nprovider_info = {__name__}:provider_info\n"
        ),
    }
