"""Settings of backups."""

from typing import Annotated

from pydantic import Field, model_validator

from mlops_install import agekeys, calendars
from mlops_install.section import Judged, SecretRef, Section, Wrong

NEVER = "never"


def _event(event: str) -> str:
    why = "" if event == NEVER else calendars.problem(event)
    return f"{why}; `man systemd.time` has them, such as Mon..Fri 22:00" if why else ""


Event = Annotated[str, Judged('a calendar event, or "never"', _event)]
Recipient = Annotated[str, Judged("a public key of age", agekeys.problem)]


class Backup(Section):
    """Backups of Airflow's database, the tasks' database, secrets and state, on the server."""

    every: Event = Field(
        "daily",
        description='When: a calendar event as in systemd.time(7), or "never". Daily means 04:30'
        " in the server's time; up to half an hour is added by chance. On the day in spring on"
        " which the clock jumps over the hour of an event, systemd leaves the event out.",
        examples=["Mon..Fri 22:00"],
    )
    keep: int = Field(
        7,
        ge=1,
        le=1000,
        description="How many to keep. Those made before a restore, and those brought"
        " from elsewhere, are not counted and stay for 7 days.",
    )
    age_recipient: Recipient | None = Field(
        None,
        description="Encrypt them for this key of age(1). The server cannot read them then.",
        examples=["age1ql3z7hjy54pw3hyww5ayyfg7zqgvc7w3j2elw8zmrj2kg5sfn9aqmcac8p"],
    )
    passphrase: SecretRef | None = Field(
        None,
        description="Encrypt them by gpg with this passphrase, which is kept on the server for"
        " root: an environment variable or a file on this side.",
        examples=[{"env": "BACKUP_PASSPHRASE"}],
    )
    data: bool = Field(
        False, description="Also what tasks keep below /srv/mlops/data. It may be large."
    )

    @model_validator(mode="after")
    def _one_way(self) -> "Backup":
        if self.age_recipient and self.passphrase:
            raise Wrong("set age_recipient or passphrase, not both", "age_recipient")
        return self
