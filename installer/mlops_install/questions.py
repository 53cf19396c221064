"""What only the server can judge of the config. Asked with the facts, right after the login."""

from mlops_install import calendars
from mlops_install.backupsettings import NEVER
from mlops_install.settings import Config
from mlops_install.shell import sh

ZONES = "/usr/share/zoneinfo"


def questions(config: Config) -> dict[str, str]:
    """Name -> shell text, for `facts.gather`; `preflight` judges the answers."""
    zone, every = sh(f"{ZONES}/{config.base.timezone}"), config.backup.every
    there = f"if [ -f {zone} ]; then echo yes; elif [ -d {ZONES}/Etc ]; then echo no; fi"
    known = every == NEVER or every in calendars.WORDS
    calendar = {} if known else {"calendar": calendars.script(every)}
    return {"zone": there, **calendar}
