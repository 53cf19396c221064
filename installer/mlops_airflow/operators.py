"""The operators: a function, or a shell command, in the conda environment of a model."""

import inspect
import json
import os
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any, ClassVar

from airflow.providers.common.compat.sdk import (
    AirflowException,
    AirflowFailException,
    AirflowSkipException,
)
from airflow.providers.standard.operators.python import PythonOperator
from airflow.sdk import BaseOperator
from airflow.sdk.bases.operator import get_merged_defaults
from airflow.sdk.definitions._internal.contextmanager import DagContext, TaskGroupContext
from airflow.sdk.definitions.context import KNOWN_CONTEXT_KEYS
from mlops_server.layout import Layout

from mlops_airflow import dates, functions, process, runner
from mlops_airflow.environments import (
    Environment,
    MissingEnvironmentError,
    activated,
    default_pool,
    first_released,
    held,
    variables,
)

SKIP = 99  # the exit code that BashOperator, too, takes for "skipped"
CONTEXT = {  # what a function with **kwargs gets of Airflow's context
    *("ds", "ds_nodash", "ts", "ts_nodash", "ts_nodash_with_tz", "run_id", "params"),
    *("logical_date", "data_interval_start", "data_interval_end", "task_instance_key_str"),
}


def callers() -> Iterator[str]:
    """The files of the functions on the stack, innermost first: one of them is the DAG's."""
    frame = inspect.currentframe()
    while frame:
        yield frame.f_code.co_filename
        frame = frame.f_back


class ExplainedOperator(BaseOperator):
    """An operator that says what is wrong when a template names a date that the run has not."""

    def render_template_fields(self, context: Any, jinja_env: Any = None) -> None:
        """Fill in the templates. Raises what ends the task for good, where a date is missing."""
        try:
            super().render_template_fields(context, jinja_env)
        except Exception as error:
            if name := dates.undefined(error, context):
                raise AirflowFailException(dates.text(name, "a template")) from None
            raise


class CondaOperator(ExplainedOperator):
    """What both operators share; use one of them.

    `env` names a model; `env_vars` are added to the clean environment; an exit code
    of `skip_on_exit_code` marks the task as skipped.
    """

    layout: ClassVar[Layout] = Layout()
    file: str | None = None  # the real path of the DAG's file, known from the start

    def __init__(
        self,
        *,
        env: str,
        env_vars: Mapping[str, str] | None = None,
        cwd: str | None = None,
        skip_on_exit_code: int | None = SKIP,
        pool: str | None = None,
        **kwargs: Any,
    ) -> None:
        file = self.file or first_released(callers(), env)
        pool = pool or self.pool_of(env, file)
        super().__init__(**kwargs, **({"pool": pool} if pool else {}))
        self.file = file
        self.env = env
        self.env_vars = env_vars
        self.cwd = cwd
        self.skip_on_exit_code = skip_on_exit_code
        self._process: process.Process | None = None

    @classmethod
    def pool_of(cls, env: str, file: str | None) -> str | None:
        """The pool that the model asks for in its model.toml."""
        return default_pool(env, file, cls.layout)

    @classmethod
    def partial(cls, *, env: str, pool: str | None = None, **kwargs: Any) -> Any:
        """For `.expand()`: mapped tasks get the model's pool as well."""
        pool = pool or cls.mapped_pool(env, kwargs)
        return super().partial(env=env, **kwargs, **({"pool": pool} if pool else {}))

    @classmethod
    def mapped_pool(cls, env: str, given: Mapping[str, Any], file: str | None = None) -> str | None:
        """The pool of a mapped task: Airflow fills in its defaults too late for `__init__`."""
        dag = given.get("dag") or DagContext.get_current()
        group = given.get("task_group") or TaskGroupContext.get_current(dag)
        defaults, _ = get_merged_defaults(dag, group, None, given.get("default_args"))
        pool: str | None = defaults.get("pool")
        return pool or cls.pool_of(env, file or first_released(callers(), env))

    @contextmanager
    def held(self) -> Iterator[tuple[Environment, int]]:
        """The environment, kept from removal; without one the task fails for good."""
        try:
            with held(self.env, self.file or self.dag.fileloc, self.layout) as found:
                yield found
        except MissingEnvironmentError as error:
            raise AirflowFailException(str(error)) from None

    @contextmanager
    def folder(self, default: Path | None) -> Iterator[Path]:
        """Where the command runs: `cwd`, the default, or a folder that goes away afterwards."""
        if self.cwd or default:
            yield Path(self.cwd or default or "/")
        else:
            with tempfile.TemporaryDirectory(prefix="task-") as name:
                yield Path(name)

    def supervised(
        self, command: list[str], environment: Environment, context: Mapping[str, Any], **more: Any
    ) -> process.Process:
        """Run a command to its end, whatever that is; its output is logged."""
        environ = variables(environment, self.layout, os.environ) | _of_task(context)
        environ |= {key: str(value) for key, value in (self.env_vars or {}).items()}
        self.log.info("Environment: %s", environment.prefix)
        self._process = process.Process(command, environ, **more)
        self._process.run(lambda line: self.log.info("%s", line))
        if self._process.code == self.skip_on_exit_code:
            raise AirflowSkipException(f"exit code {self._process.code}: skipped")
        return self._process

    def on_kill(self) -> None:
        """End everything that the task started."""
        if self._process:
            self._process.stop()


def _of_task(context: Mapping[str, Any]) -> dict[str, str]:
    ti = context["ti"]
    return {
        "MLOPS_DAG_ID": str(ti.dag_id),
        "MLOPS_TASK_ID": str(ti.task_id),
        "MLOPS_RUN_ID": str(ti.run_id),
        "MLOPS_TRY_NUMBER": str(ti.try_number),
    }


class CondaPythonOperator(CondaOperator, PythonOperator):
    """Call a function in the environment of a model.

    Arguments and the result are values of JSON, or dates; the rest goes through files. The
    function's own folder of modules is models/<env>; its working folder is a temporary one.
    """

    template_fields: Sequence[str] = (*PythonOperator.template_fields, "env_vars", "cwd")
    template_fields_renderers: ClassVar[dict[str, str]] = {
        **PythonOperator.template_fields_renderers,
        "env_vars": "json",
    }
    decorated: ClassVar[bool] = False

    def __init__(
        self,
        *,
        python_callable: Callable[..., Any],
        **kwargs: Any,
    ) -> None:
        self.file = functions.file_of(python_callable)
        super().__init__(python_callable=python_callable, **kwargs)
        self._context: Mapping[str, Any] = {}

    def determine_kwargs(self, context: Mapping[str, Any]) -> Mapping[str, Any]:
        """The arguments by name: the user's, and those of the context that are asked for."""
        found = super().determine_kwargs(context)
        if name := dates.missing(self.python_callable, found, self.op_args):
            raise AirflowFailException(dates.text(name, f"argument {name}"))
        asked = inspect.signature(self.python_callable).parameters
        for name in KNOWN_CONTEXT_KEYS.intersection(asked, found) - CONTEXT - set(self.op_kwargs):
            _check(name, found[name])
        return {
            name: value
            for name, value in found.items()
            if name in self.op_kwargs or name in asked or name in CONTEXT
        }

    def execute(self, context: Any) -> Any:
        """Call the function; its result."""
        self._context = context
        return super().execute(context)

    def execute_callable(self) -> Any:
        """Call the function in the environment. Raises what Airflow shows of its error."""
        with ExitStack() as stack:
            environment, lock = stack.enter_context(self.held())
            cwd = stack.enter_context(self.folder(None))
            given, result = process.scratch(self._request(environment)), process.scratch()
            stack.callback(os.close, given)
            stack.callback(os.close, result)
            command = process.calling(environment.prefix / "bin/python", result)
            ended = self.supervised(
                activated(environment, command, self.env_vars or ()),
                environment,
                self._context,
                cwd=cwd,
                stdin=given,
                keep=(lock, result),
            )
            return _result(ended, process.content(result), environment)

    def _request(self, environment: Environment) -> bytes:
        return functions.request(
            self.python_callable,
            self.file or "",
            self.op_args,
            self.op_kwargs,
            environment,
            decorated=self.decorated,
        )


def _check(name: str, value: Any) -> None:
    """Explain it when a function asks for an object of Airflow's."""
    try:
        runner.encode(value, name)
    except runner.RefusedError:
        raise runner.RefusedError(
            f"argument {name}: this object of Airflow's does not travel;"
            f" a function can ask for {', '.join(sorted(CONTEXT))}"
        ) from None


def _result(ended: process.Process, reply: bytes, environment: Environment) -> Any:
    found = json.loads(reply) if reply else {}
    if "error" in found:
        raise AirflowException(functions.error_text(found["error"], environment.release))
    if ended.code:
        raise AirflowException(process.ending(ended.code))
    return runner.decode(found.get("result"))


class CondaBashOperator(CondaOperator):
    """Run a shell command, or a script, in the environment of a model.

    It runs in the model's folder of the release, if `cwd` names no other; the last
    line of stdout is the result.
    """

    template_fields: Sequence[str] = ("bash_command", "env_vars", "cwd")
    template_fields_renderers: ClassVar[dict[str, str]] = {
        "bash_command": "bash",
        "env_vars": "json",
    }
    template_ext: Sequence[str] = (".sh", ".bash")
    ui_color = "#f0ede4"

    def __init__(self, *, bash_command: str, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.bash_command = bash_command

    def execute(self, context: Any) -> str:
        """Run the command; the last line of its output."""
        with ExitStack() as stack:
            environment, lock = stack.enter_context(self.held())
            cwd = stack.enter_context(self.folder(environment.model_folder))
            shell = ["/bin/bash", "-c", self.bash_command]
            ended = self.supervised(
                process.executing(activated(environment, shell, self.env_vars or ())),
                environment,
                context,
                cwd=cwd,
                keep=(lock,),
                merge=False,
            )
        if ended.code:
            raise AirflowException(process.ending(ended.code))
        return str(runner.encode(ended.last_line, "the last line of stdout"))
