"""Workflows: the release in force is whole, and tasks cannot change it."""

import pytest
from mlops_server.layout import DIGITS

CURRENT = "/srv/mlops/workflows/current"


def test_a_release_is_in_force(host):
    assert host.file(CURRENT).is_symlink, f"{CURRENT} is no link"
    assert host.file(f"{CURRENT}/dags").is_directory, f"{CURRENT}/dags is missing"


def test_tasks_cannot_change_it(host):
    loose = host.run(
        f"find -L {CURRENT}/ \\( ! -user root -o -perm /022 \\) -print -quit"
    ).stdout.strip()
    assert not loose, f"others may change {loose}"


def test_its_environments_exist(host):
    locks = host.run(f"cd {CURRENT} && sha256sum models/*/conda-lock.yml 2>/dev/null").stdout
    if not locks:
        pytest.skip("no models yet")
    for line in locks.splitlines():
        digest, path = line.split()
        folder = f"/opt/mlops/envs/{path.split('/')[1]}/{digest[:DIGITS]}"
        assert host.file(folder).exists, f"{path} has no environment: {folder} is missing"
