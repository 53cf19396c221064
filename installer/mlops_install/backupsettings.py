"""Settings of backups."""

from pydantic import Field, field_validator, model_validator

from mlops_install import calendars
from mlops_install.section import SecretRef, Section

NEVER = "never"


class Backup(Section):
    """Backups of Airflow's database, the tasks' database, secrets and state, on the server."""

    every: str = Field(
        "daily",
        pattern=r"^[A-Za-z0-9*:,./~ -]+$",
        description='When: a calendar event as in systemd.time(7), or "never". Daily means 02:30'
        " in the server's time; up to half an hour is added by chance.",
        examples=["Mon..Fri 22:00"],
    )
    keep: int = Field(
        7,
        ge=1,
        le=1000,
        description="How many to keep. Those made before a restore, and those brought"
        " from elsewhere, are not counted and stay for 7 days.",
    )
    age_recipient: str | None = Field(
        None,
        pattern=r"^age1[a-z0-9]{58}$",
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

    @field_validator("every")
    @classmethod
    def _event(cls, event: str) -> str:
        if event != NEVER and (problem := calendars.problem(event)):
            raise ValueError(f"{problem}; `man systemd.time` has them, such as Mon..Fri 22:00")
        return event

    @model_validator(mode="after")
    def _one_way(self) -> "Backup":
        if self.age_recipient and self.passphrase:
            raise ValueError("set age_recipient or passphrase, not both")
        return self
