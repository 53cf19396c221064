"""Templates become text: the only place that uses jinja2. A missing variable is an error."""

from functools import cache
from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined

TEMPLATES = Path(__file__).parent / "templates"
TEMPLATE = ".j2"


@cache
def _environment() -> Environment:
    return Environment(
        loader=FileSystemLoader(TEMPLATES),
        undefined=StrictUndefined,
        keep_trailing_newline=True,
        trim_blocks=True,
        lstrip_blocks=True,
        autoescape=False,  # noqa: S701 - config files, not HTML
    )


def prepare() -> None:
    """Compile all templates, while there is time: that takes longer than to render them."""
    for path in TEMPLATES.glob(f"*/*{TEMPLATE}"):
        _environment().get_template(str(path.relative_to(TEMPLATES)))


def render(template: str, **variables: object) -> str:
    """The text of `templates/<template>`; a template where the file's name ends in .j2."""
    if (TEMPLATES / template).exists():
        return (TEMPLATES / template).read_text()
    return _environment().get_template(template + TEMPLATE).render(variables)
