"""The server under test comes from `mlops-install verify`, which passes it in as a plugin."""

import pytest


@pytest.fixture(scope="session")
def host(server):
    return server
