"""Names of the config's secrets reach Airflow, in its own spelling."""

import pytest
from mlops_airflow import secretnames
from mlops_install import masked
from mlops_install.config import parse

CONFIG = """
[connections.sales]
type = "http"
host = "x"
password = { env = "A" }
secret_extra = { "Private.Dsn" = { env = "B" } }

[variables]
plain = "text"
"anna-X" = { env = "C" }
"""


def test_variables_and_extras_that_are_references():
    assert masked.names(parse(CONFIG, "t")) == "anna_x\nprivate_dsn\n"
    assert masked.names(parse("", "t")) == ""


@pytest.mark.parametrize(
    ("text", "told"),
    [("anna_x\nprivate_dsn\n", {secretnames.SETTING: "anna_x,private_dsn"}), (None, {})],
)
def test_airflow_is_told(tmp_path, text, told):
    path, environ = tmp_path / "names", {}
    if text is not None:
        path.write_text(text)
    secretnames.tell(environ, str(path))
    assert environ == told
