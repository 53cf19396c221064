"""Airflow tasks that run in the conda environment of a model."""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from mlops_airflow.operators import CondaBashOperator as CondaBashOperator
    from mlops_airflow.operators import CondaPythonOperator as CondaPythonOperator

__all__ = ["CondaBashOperator", "CondaPythonOperator"]
__version__ = "0.1.0"


def __getattr__(name: str) -> object:
    """The operators, imported when asked for: the installer reads this package without Airflow."""
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from mlops_airflow import operators

    return getattr(operators, name)
