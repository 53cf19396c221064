"""Many commands by one shell."""

import pytest
from mlops_install.commands import Commands
from mlops_install.errors import ConnectionLost
from mlops_install.host import Local


@pytest.fixture
def commands():
    made = Commands(Local())
    yield made
    made.close()


@pytest.mark.parametrize(
    ("command", "out", "err", "code"),
    [
        ("echo a; echo b >&2; exit 3", "a\n", "b\n", 3),
        ("cat; printf '%s' 'no end'", "no end", "", 0),
        ("printf 'ä\\nö'", "ä\nö", "", 0),
        ("x=1; cd /tmp; exit", "", "", 0),
        (
            "printf '0 5 5\\n'; head -c 200000 /dev/zero | tr '\\0' x",
            "0 5 5\n" + "x" * 200000,
            "",
            0,
        ),
        ("if true; then echo 'it''s'; fi", "its\n", "", 0),
        ("nonsense(", "", None, 2),
    ],
)
def test_each_command_has_its_own_answer(commands, command, out, err, code):
    before = commands.run('echo "$x$PWD"')
    found = commands.run(command)
    assert (found.stdout, found.code) == (out, code)
    assert found.stderr == err if err is not None else found.stderr
    assert commands.run('echo "$x$PWD"') == before


def test_all_of_them_cost_one_round_trip(commands):
    for number in range(5):
        assert commands.run(f"echo {number}").stdout == f"{number}\n"
    assert commands._host.round_trips == 1


def test_a_shell_that_is_gone_is_a_lost_connection(commands):
    with pytest.raises(ConnectionLost):
        commands.run("kill -9 $$")
    with pytest.raises(ConnectionLost):
        commands.run("true")
