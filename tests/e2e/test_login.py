"""Ways to the server: a name of the ssh config, a jump host, the agent."""

import os
import subprocess
from collections.abc import Iterator

import pytest
from mlops_install import box
from server import Server, environment, run

pytestmark = [pytest.mark.box, pytest.mark.parametrize("system", ["debian-12"])]
HOST = """\
Host {alias}
  HostName {address}
  User {user}
  UserKnownHostsFile {known_hosts}
{more}
"""


def write(server: Server, *blocks: str) -> None:
    server.ssh_config.write_text("\n".join(blocks))


def block(server: Server, alias: str, user: str = "root", **more: str) -> str:
    lines = "\n".join(f"  {key} {value}" for key, value in more.items())
    known = server.box.known_hosts
    return HOST.format(
        alias=alias, address=server.box.address, user=user, known_hosts=known, more=lines
    )


def status(server: Server, target: str, **variables: str):
    words = server.words("status", "--json", target=target)
    return run(["env", *(f"{k}={v}" for k, v in variables.items()), *words], server.folder)


@pytest.fixture
def agent(bare: Server) -> Iterator[str]:
    """An ssh agent that holds the box's key; its socket."""
    socket = str(bare.folder / "agent")
    process = subprocess.Popen(["ssh-agent", "-D", "-a", socket], stdout=subprocess.DEVNULL)
    while not os.path.exists(socket):
        pass
    add = {**environment(bare.folder), "SSH_AUTH_SOCK": socket}
    subprocess.run(["ssh-add", "-q", str(bare.box.identity_file)], env=add, check=True)
    yield socket
    process.terminate()
    process.wait()


def test_the_key_of_the_agent_is_used(bare, agent):
    write(bare, block(bare, "alias"))
    without = status(bare, "alias")
    assert without.returncode == 1, without.end
    assert "refused to let root in" in without.stderr
    found = status(bare, "alias", SSH_AUTH_SOCK=agent)
    assert found.returncode == 2, found.end
    assert found.json["status"][0]["what"] == "server"


def test_a_jump_host_is_passed_and_both_host_keys_are_checked(bare, folder):
    jump = Server(box.up(f"{bare.name}j", "debian-12", ephemeral=True), folder / "jump")
    try:
        keys = {"IdentityFile": str(bare.box.identity_file), "ProxyJump": "jump"}
        first = block(jump, "jump", IdentityFile=str(jump.box.identity_file))
        second = block(bare, "behind", user="debian", **keys)
        write(bare, first, second)
        found = status(bare, "behind")
        assert found.returncode == 2, found.end
        write(bare, first.replace(str(jump.box.known_hosts), "/dev/null"), second)
        refused = status(bare, "behind")
        assert refused.returncode == 1
        assert "host key" in refused.stderr
    finally:
        box.down(jump.name)
