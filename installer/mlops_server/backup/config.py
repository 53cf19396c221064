"""/etc/mlops/backup.toml: how many backups are kept, how they are encrypted. Strict."""

from dataclasses import dataclass, fields

from mlops_server import tomltext
from mlops_server.errors import EnvError
from mlops_server.layout import Layout

FIX = "correct [backup] in mlops.toml, then `mlops-install apply`"


@dataclass(frozen=True)
class Config:
    """The settings. `passphrase`: encrypt with the one in the secrets; `data`: /srv/mlops/data."""

    keep: int = 7
    age_recipient: str = ""
    passphrase: bool = False
    data: bool = False

    @property
    def seal(self) -> str:
        """How archives are encrypted: age, gpg, or not at all."""
        return "age" if self.age_recipient else "gpg" if self.passphrase else ""


def read(layout: Layout) -> Config:
    """Read the settings; no file stands for the defaults. Raises `EnvError`."""
    path = layout.backup_config
    try:
        found = tomltext.loads(path.read_text())
    except FileNotFoundError:
        return Config()
    except ValueError as error:
        raise EnvError(f"{path} is not TOML: {error}", fix=FIX) from None
    kinds: dict[str, type] = {field.name: type(field.default) for field in fields(Config)}
    for name, value in found.items():
        if name not in kinds:
            raise EnvError(f"{path}: {name}: there is no such setting", fix=FIX)
        if type(value) is not kinds[name] or (type(value) is int and value < 1):
            raise EnvError(f"{path}: {name}: {value!r} is not allowed", fix=FIX)
    return Config(**found)
