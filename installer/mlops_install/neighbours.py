"""What is on a server already that ours would take over, or that would break ours."""

from collections.abc import Iterator

from mlops_server.errors import Flaw

from mlops_install.facts import Facts

NO_LOGIN = ("/nologin", "/false")


def problems(facts: Facts) -> Iterator[Flaw]:
    """What is in the way, and the fix."""
    yield from _person(facts)
    yield from _hidden(facts)
    yield from _nginx(facts)


def _person(facts: Facts) -> Iterator[Flaw]:
    """A person of this name would lose the login: the one to this very server, perhaps."""
    if facts.airflow_shell and not facts.airflow_shell.endswith(NO_LOGIN):
        yield Flaw(
            f"it has a user airflow who can log in ({facts.airflow_shell}), and Airflow's services"
            " want a user of that name who cannot",
            "rename the user (`usermod -l NEW airflow`, `groupmod -n NEW airflow`), or if it is"
            " no person's: `usermod -s /usr/sbin/nologin airflow`",
        )


def _hidden(facts: Facts) -> Iterator[Flaw]:
    """Supervisors of tasks make themselves undumpable, and are hidden from their own user too."""
    if facts.hidepid:
        yield Flaw(
            f"its /proc is mounted with hidepid={facts.hidepid}: Airflow would not find its own"
            " tasks there, and take running ones for dead",
            "take hidepid out of /proc's line in /etc/fstab, and"
            " `mount -o remount,hidepid=0 /proc`",
        )


def _nginx(facts: Facts) -> Iterator[Flaw]:
    """The package of nginx.org has no folders for sites, and another user than Debian's."""
    if facts.nginx_sites == "0":
        yield Flaw(
            "its nginx is, or would be, that of nginx.org or one whose nginx.conf does not read"
            " /etc/nginx/sites-enabled, where the site goes",
            "add `include /etc/nginx/sites-enabled/*;` to the http block of"
            " /etc/nginx/nginx.conf; without nginx so far, take nginx.org out of the apt sources",
        )
    if facts.nginx_user not in ("", "www-data"):
        yield Flaw(
            f"its nginx runs as {facts.nginx_user}, and the sockets of models are www-data's",
            "set `user www-data;` in /etc/nginx/nginx.conf",
        )
