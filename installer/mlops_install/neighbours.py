"""What is on a server already that ours would take over, or that would break ours."""

from collections.abc import Iterator

from mlops_install.facts import Facts

NO_LOGIN = ("/nologin", "/false")


def problems(facts: Facts) -> Iterator[tuple[str, str]]:
    """What is in the way, and the fix."""
    yield from _person(facts)


def _person(facts: Facts) -> Iterator[tuple[str, str]]:
    """A person of this name would lose the login: the one to this very server, perhaps."""
    if facts.airflow_shell and not facts.airflow_shell.endswith(NO_LOGIN):
        yield (
            f"it has a user airflow who can log in ({facts.airflow_shell}), and Airflow's services"
            " want a user of that name who cannot",
            "rename the user (`usermod -l NEW airflow`, `groupmod -n NEW airflow`), or if it is"
            " no person's: `usermod -s /usr/sbin/nologin airflow`",
        )
