"""Where a submodule may lead: no nearer to the server than the repository."""

import ipaddress
import socket

import pytest
from mlops_server.workflows import nearness
from mlops_server.workflows.nearness import Place

KNOWN = {
    "git.example.org": ["192.0.9.9"],
    "loop.example.org": ["127.0.0.1"],
    "both.example.org": ["192.0.9.9", "10.1.2.3"],
    "cloud.example.org": ["169.254.169.254"],
    "inner.example.org": ["10.0.0.7"],
    "six.example.org": ["fe80::1%eth0"],
}


@pytest.fixture(autouse=True)
def names(monkeypatch):
    """Names that lead somewhere, as an attacker's name server says it."""
    real = socket.getaddrinfo

    def look_up(name, port, **more):
        if name not in KNOWN:
            ipaddress.ip_address(name)
            return real(name, port, **more)
        return [(0, 0, 0, "", (address, 0)) for address in KNOWN[name]]

    def asked(name, port, **more):
        try:
            return look_up(name, port, **more)
        except ValueError:
            raise socket.gaierror(-2, "Name or service not known") from None

    monkeypatch.setattr(socket, "getaddrinfo", asked)


@pytest.mark.parametrize(
    ("name", "place"),
    [
        ("localhost", Place.HERE),
        ("x.localhost", Place.HERE),
        ("127.0.0.1", Place.HERE),
        ("127.1", Place.HERE),
        ("2130706433", Place.HERE),
        ("0x7f000001", Place.HERE),
        ("0.0.0.0", Place.HERE),
        ("::1", Place.HERE),
        ("::ffff:127.0.0.1", Place.HERE),
        ("169.254.169.254", Place.HERE),
        ("loop.example.org", Place.HERE),
        ("cloud.example.org", Place.HERE),
        ("six.example.org", Place.HERE),
        ("10.0.0.7", Place.INSIDE),
        ("192.168.1.1", Place.INSIDE),
        ("100.64.0.1", Place.INSIDE),
        ("fd00::1", Place.INSIDE),
        ("inner.example.org", Place.INSIDE),
        ("both.example.org", Place.INSIDE),
        ("192.0.9.9", Place.OUTSIDE),
        ("git.example.org", Place.OUTSIDE),
        ("unknown.example.org", Place.OUTSIDE),
    ],
)
def test_where_a_host_is(name, place):
    assert nearness.place_of(name) is place


@pytest.mark.parametrize(
    ("submodule", "repository", "said"),
    [
        ("https://loop.example.org/x.git", "https://git.example.org/a.git", "server itself"),
        ("https://inner.example.org/x.git", "https://git.example.org/a.git", "internal"),
        ("git@inner.example.org:x.git", "git@git.example.org:a.git", "internal"),
        ("https://inner.example.org/x.git", "https://10.0.0.9/a.git", ""),
        ("https://git.example.org/x.git", "https://10.0.0.9/a.git", ""),
        ("https://loop.example.org/x.git", "https://10.0.0.9/a.git", "server itself"),
        ("ssh://git@LOCALHOST./x.git", "ssh://git@localhost/a.git", ""),
        ("https://127.0.0.1:8082/x.git", "ssh://git@localhost/a.git", "server itself"),
        ("https://localhost.:8082/x.git", "ssh://git@localhost/a.git", "server itself"),
        ("ssh://git@localhost:8022/x.git", "ssh://git@localhost/a.git", "server itself"),
        ("git@localhost:x.git", "ssh://git@localhost/a.git", ""),
        ("https://10.0.0.9:8443/x.git", "ssh://git@10.0.0.9/a.git", ""),
        ("https://unknown.example.org/x.git", "https://git.example.org/a.git", ""),
        ("/srv/x.git", "https://git.example.org/a.git", ""),
    ],
)
def test_a_submodule_is_no_nearer_than_the_repository(submodule, repository, said):
    found = nearness.refused(submodule, repository)
    assert (said in found) if said else not found
