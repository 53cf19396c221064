"""`@task.conda(env="...")`."""

from collections.abc import Callable, Collection, Mapping
from typing import Any, ClassVar

from airflow.sdk.bases.decorator import DecoratedOperator, _TaskDecorator

from mlops_airflow import functions
from mlops_airflow.operators import CondaPythonOperator


class DecoratedCondaOperator(DecoratedOperator, CondaPythonOperator):
    """What a function under `@task.conda` becomes."""

    custom_operator_name = "@task.conda"
    template_fields = CondaPythonOperator.template_fields
    template_fields_renderers = CondaPythonOperator.template_fields_renderers
    decorated: ClassVar[bool] = True
    determine_kwargs = CondaPythonOperator.determine_kwargs  # Airflow's class has its own

    def __init__(
        self,
        *,
        python_callable: Callable[..., Any],
        op_args: Collection[Any] | None = None,
        op_kwargs: Mapping[str, Any] | None = None,
        **kwargs: Any,
    ) -> None:
        upstream: dict[str, Any] = {
            "python_callable": python_callable,
            "op_args": op_args,
            "op_kwargs": op_kwargs,
        }
        super().__init__(kwargs_to_upstream=upstream, **upstream, **kwargs)


class CondaTask(_TaskDecorator):
    """A function that becomes a task when it is called or expanded."""

    def _expand(self, expand_input: Any, *, strict: bool) -> Any:
        """Mapped tasks get the model's pool as well: Airflow makes no operator for them here."""
        pool = self.kwargs.get("pool") or self.operator_class.mapped_pool(
            self.kwargs["env"], self.kwargs, functions.file_of(self.function)
        )
        mapped = self.override(pool=pool) if pool else self
        return _TaskDecorator._expand(mapped, expand_input, strict=strict)


def conda_task(
    python_callable: Callable[..., Any] | None = None,
    *,
    env: str = "",
    multiple_outputs: bool | None = None,
    **kwargs: Any,
) -> Any:
    """Run the decorated function in the conda environment of the model `env`.

    Other arguments are those of `CondaPythonOperator` and of every Airflow task.
    """
    if python_callable is not None or not env:
        raise TypeError('@task.conda wants the name of a model: @task.conda(env="churn")')

    def decorate(function: Callable[..., Any]) -> Any:
        outputs = {} if multiple_outputs is None else {"multiple_outputs": multiple_outputs}
        return CondaTask(
            function=function,
            operator_class=DecoratedCondaOperator,
            kwargs={"env": env, **kwargs},
            **outputs,
        )

    return decorate
