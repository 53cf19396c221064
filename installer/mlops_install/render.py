"""Templates become text: the only place that uses jinja2. A missing variable is an error."""

from functools import cache
from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined

HERE = Path(__file__).parent


@cache
def _environment() -> Environment:
    return Environment(
        loader=FileSystemLoader(HERE / "templates"),
        undefined=StrictUndefined,
        keep_trailing_newline=True,
        trim_blocks=True,
        lstrip_blocks=True,
        autoescape=False,  # noqa: S701 - config files, not HTML
    )


def render(template: str, **variables: object) -> str:
    """The text of `templates/<template>`, `.j2` added when the file has it."""
    name = f"{template}.j2" if (HERE / "templates" / f"{template}.j2").exists() else template
    return _environment().get_template(name).render(variables)
