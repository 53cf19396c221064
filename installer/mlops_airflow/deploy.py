"""The operator that puts a trained model into service, through the server's door."""

from collections.abc import Sequence
from typing import Any, ClassVar

from airflow.providers.common.compat.sdk import AirflowException, AirflowFailException
from mlops_server.layout import Layout

from mlops_airflow import door
from mlops_airflow.environments import find_release, first_released
from mlops_airflow.operators import ExplainedOperator, callers


class DeployModelOperator(ExplainedOperator):
    """Serve the model in `folder` under the name `name`, from the environment of model `env`.

    The release is the one that the DAG's file is in, so that a model is served by the versions
    that trained it. When the new version does not get healthy the task fails, and the version
    before goes on serving.
    """

    template_fields: Sequence[str] = ("name", "folder")
    layout: ClassVar[Layout] = Layout()

    def __init__(self, *, name: str, env: str, folder: str, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.file = first_released(callers(), env)
        self.name = name
        self.env = env
        self.folder = folder

    def execute(self, context: Any) -> str:
        """Deploy, and say the folder that is now served."""
        answer = door.ask(words(self.name, self.env, self.folder, self.file), self._say)
        if answer.code:
            said = (line for line in answer.lines if line.startswith("mlops: "))
            text = next(said, answer.last).removeprefix("mlops: ")
            raise (AirflowException if answer.code == door.AGAIN else AirflowFailException)(text)
        return self.folder

    def _say(self, line: str) -> None:
        self.log.info("%s", line)


def words(name: str, env: str, folder: str, file: str | None) -> list[str]:
    """The request to the door."""
    release = find_release(file, env) if file else None
    found = ["service", "deploy", name, "--model", env, "--folder", folder]
    return [*found, "--release", release.name] if release else found
