"""conda-lock with a private Python index: `python -m mlops_install.lock.condalock lock ...`.

conda-lock asks PyPI beside every configured index, which fails where only the private one can
be reached; the one setting against it is part of environment.yml and of the lock's hash.
"""

from typing import Any


def main() -> None:
    """Run conda-lock's command line without PyPI."""
    from conda_lock import pypi_solver
    from conda_lock.conda_lock import main as conda_lock

    repositories = pypi_solver._prepare_repositories_pool

    def private(_: bool, pip_repositories: Any = None) -> Any:
        return repositories(False, pip_repositories)

    pypi_solver._prepare_repositories_pool = private
    conda_lock(prog_name="conda-lock")


if __name__ == "__main__":
    main()
