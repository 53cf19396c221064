"""Render the server's files for plain.sh: render_plain.py OUTPUT [NAME=VALUE ...]"""

import shutil
import sys
from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined

ROOT = Path(__file__).resolve().parent.parent
TEMPLATES = ROOT / "templates"
LOCKS = ROOT / "installer" / "mlops_install" / "locks"

DEFAULTS = {
    "schedulers": 2,
    "parallelism": 8,
    "api_workers": 2,
    "base_url": "https://mlops.test",
    "certificate": "/etc/mlops/tls/fullchain.pem",
    "certificate_key": "/etc/mlops/tls/privkey.pem",
    "drain_timeout_seconds": 3600,
    "inputs": "plain",
    "timezone": "utc",
    "xcom_threshold": 262144,
    "services": "/etc/mlops/services",
}


def main() -> None:
    out = Path(sys.argv[1])
    overrides = dict(pair.split("=", 1) for pair in sys.argv[2:])
    values = DEFAULTS | {k: type(DEFAULTS[k])(v) for k, v in overrides.items()}
    environment = Environment(
        loader=FileSystemLoader(TEMPLATES), undefined=StrictUndefined, keep_trailing_newline=True,
        trim_blocks=True, lstrip_blocks=True,
    )  # fmt: skip
    out.mkdir(parents=True, exist_ok=True)
    for source in [*(TEMPLATES / "airflow").iterdir(), *(TEMPLATES / "proxy").iterdir()]:
        if source.suffix != ".j2":
            shutil.copy(source, out / source.name)
        elif not source.name.startswith("_"):
            text = environment.get_template(str(source.relative_to(TEMPLATES))).render(values)
            (out / source.stem).write_text(text)
    for lock in ("airflow-3.3.2.txt", "tools.txt"):
        shutil.copy(LOCKS / lock, out / lock)


if __name__ == "__main__":
    main()
