"""What an uninstall removes and keeps: pure, from a journal and a server as found."""

import os
import subprocess
from dataclasses import replace

import pytest
from mlops_install import journal
from mlops_install.journal import Entry
from mlops_install.removal import parts, plan
from mlops_install.removal.found import DROPPING, Found
from mlops_install.removal.packages import needed, read_packages
from mlops_install.resource import ABSENT
from mlops_install.resources.file import Directory
from mlops_install.resources.postgres import Cluster

PACKAGES = read_packages(
    "nginx\tinstalled\tno\toptional\thttpd\tnginx-common (= 1), libc6 (>= 2)\n"
    "nginx-common\tinstalled\tno\toptional\t\t, debconf | debconf-2.0\n"
    "libc6\tinstalled\tno\trequired\t\t\n"
    "python3\tinstalled\tno\toptional\t\tpython3.13 (>= 3.13~), libpython3-stdlib:any\n"
    "python3.13\tinstalled\tno\toptional\t\t\n"
    "libpython3-stdlib\tinstalled\tno\toptional\t\t\n"
    "certbot\tinstalled\tno\toptional\t\tpython3, nginx | apache2\n"
    "apache2\tinstalled\tno\toptional\t\t\n"
    "postgresql-17\tinstalled\tno\toptional\t\tpostgresql-common\n"
    "postgresql-common\tinstalled\tno\toptional\t\t\n"
)
OURS = ("nginx", "nginx-common", "python3", "python3.13", "libpython3-stdlib",
        "postgresql-17", "postgresql-common")  # fmt: skip


def entries(*more: tuple[str, str, str]) -> tuple[Entry, ...]:
    packages = (("package", name, "none") for name in OURS)
    return tuple(Entry(*words, "") for words in (("journal", "1", "none"), *more, *packages))


FOUND = Found(
    entries=entries(
        ("directory", "/opt/mlops", "none"),
        ("file", "/etc/timezone", "kept"),
        ("file", "/etc/systemd/system/airflow.target", "none"),
        ("file", "/etc/systemd/system/airflow-scheduler@.service", "none"),
        ("file", "/etc/systemd/system/nginx.service.d/mlops.conf", "none"),
        ("file", "/etc/nginx/sites-available/mlops.conf", "none"),
        ("unit", "nginx.service", "enabled active"),
        ("unit", "airflow.target", "none inactive"),
        ("cluster", "17/main", "none"),
        ("role", "airflow", "none"),
        ("database", "airflow", "none"),
        ("group", "airflow", "none"),
        ("user", "airflow", "none"),
        ("package-user", "postgres", "none"),
        ("directory", "/srv/mlops", "none"),
        ("tree", "/srv/mlops/data", "none"),
        ("tree", "/opt/mlops/airflow/abc", "none"),
        ("tree", "/var/cache/mlops", "none"),
        ("tree", "/var/cache/mlops/conda", "none"),
        ("file", "/opt/mlops/airflow/abc/mlops.pth", "none"),
    ),
    packages=PACKAGES,
    units=("airflow-scheduler@1.service", "airflow-scheduler@3.service", "ssh.service"),
    running=(),
    databases={"airflow": "airflow", "airflow_before": "airflow", "postgres": "postgres"},
    silent=False,
    installed=True,
    state=True,
    clusters=("17/main",),
    strangers=("/etc/nginx/sites-available/mlops.conf",),
)


ALONE = replace(FOUND, packages=tuple(p for p in PACKAGES if p.name != "certbot"))


def chooser(found: Found = FOUND, *others: str, keep_data: bool = True) -> plan.Chooser:
    return plan.Chooser(found, others, keep_data)


def test_what_others_need_stays_with_what_it_needs():
    stay = needed(PACKAGES, set(OURS), {})
    assert stay == {
        "python3": "certbot needs it",
        "python3.13": "python3 needs it",
        "libpython3-stdlib": "python3 needs it",
    }
    assert "nginx" not in stay, "apache2 serves certbot as well"


def test_debian_keeps_what_it_cannot_do_without():
    assert needed(PACKAGES, {"libc6"}, {}) == {"libc6": "Debian cannot do without it"}


def test_the_instances_of_our_units_are_ours_and_no_others():
    assert chooser().units() == [
        "airflow-scheduler@1.service",
        "airflow-scheduler@3.service",
        "airflow.target",
    ]
    assert [e.name for e in chooser().foreign_units()] == ["nginx.service"]


def test_what_our_role_owns_goes_with_the_cluster():
    assert chooser().databases() == ["airflow", "airflow_before"]
    assert chooser().clusters() == ["17/main"]


def test_a_cluster_with_a_database_of_others_stays_with_its_packages():
    found = replace(FOUND, databases={**FOUND.databases, "theirs": "bob"})
    assert chooser(found).clusters() == []
    assert {"postgresql-17", "postgresql-common"} <= chooser(found).packages_kept().keys()
    assert "postgres" not in chooser(found).accounts("user")
    kept = {k.name for k in plan.make(found, (), keep_data=True).kept}
    assert {"database theirs", "package postgresql-17"} <= kept


def test_the_package_of_a_cluster_of_others_is_never_purged():
    """Its purge drops every cluster of that version, also in the uninstall after this one."""
    found = replace(FOUND, clusters=("17/dev", "17/main"))
    assert chooser(found).clusters() == ["17/main"]
    assert chooser(found).packages_kept()["postgresql-17"] == "the cluster 17/dev stays"
    theirs = replace(FOUND, databases={**FOUND.databases, "theirs": "bob"})
    text = plan._next_journal(chooser(theirs))
    again = replace(theirs, entries=journal.parse(text))
    for keep in (True, False):
        stay = chooser(again, keep_data=keep).packages_kept()
        assert {"postgresql-17", "postgresql-common"} <= stay.keys()


def test_a_package_that_is_not_ours_is_no_reason_to_keep_accounts():
    without = tuple(e for e in ALONE.entries if not e.name.startswith("postgresql"))
    adopted = tuple(replace(e, was="there") if e.kind == "cluster" else e for e in without)
    assert chooser(replace(ALONE, entries=adopted)).packages_kept() == {}


def test_nginx_stays_while_a_file_of_others_is_in_its_folder():
    assert "nginx" not in chooser(ALONE).packages_kept()
    found = replace(ALONE, strangers=(*ALONE.strangers, "/etc/nginx/ssl/grafana.key"))
    stay = chooser(found).packages_kept()
    assert stay["nginx"] == stay["nginx-common"] == "/etc/nginx/ssl/grafana.key is not ours"


def test_dags_in_the_empty_release_stay():
    more = (*FOUND.entries, Entry("tree", "/srv/mlops/workflows/releases", "none", ""))
    found = replace(FOUND, entries=more)
    assert "/srv/mlops/workflows/releases" in chooser(found).trees()
    mine = "/srv/mlops/workflows/releases/empty/dags/mine.py"
    assert "/srv/mlops/workflows/releases" not in chooser(found, mine).trees()
    assert mine in {k.name for k in plan.make(found, (mine,), keep_data=False).kept}


def test_without_a_journal_backups_stay_unless_data_shall_go():
    found = replace(FOUND, entries=())
    for keep in (True, False):
        (part,) = plan.make(found, (), keep_data=keep).parts
        text = "\n".join(step.shell() for step in part.change(None))
        assert ("! -name backups" in text, "rm -rf /var/lib/mlops\n" in text + "\n") == (
            keep, not keep
        )  # fmt: skip


def test_originals_come_back_also_after_an_uninstall_that_was_broken_off(tmp_path):
    kept, now = tmp_path / "originals", tmp_path / "etc"
    for name in ("a", "b"):
        (kept / str(now)[1:]).mkdir(parents=True, exist_ok=True)
        now.mkdir(exist_ok=True)
        (kept / str(now)[1:] / name).write_text("theirs")
        (now / name).write_text("ours")
    script = parts.RESTORE.format(originals=kept, paths=f"printf '%s\\n' {now}/a {now}/b")
    (kept / str(now)[1:] / "a").rename(now / "a")  # it was broken off here
    for _ in range(2):
        subprocess.run(["bash", "-c", f"set -e -o pipefail\n{script}"], check=True)
        assert [(now / name).read_text() for name in ("a", "b")] == ["theirs", "theirs"]


def test_a_role_that_is_left_in_a_cluster_of_others_is_found_again():
    part = parts.databases([], [], ["airflow"], dump=True)
    check = part.probe().replace("'\"'\"'", "'")  # as psql reads it
    assert "from pg_roles where rolname in ('airflow', '')" in check
    assert any('drop role if exists "airflow"' in step.shell() for step in part.change(None))


def test_an_older_cluster_is_ours_only_with_its_package():
    older = entries(("cluster", "17/main", "unknown"))
    found = replace(FOUND, entries=older, databases={})
    assert chooser(found).clusters() == ["17/main"]
    without = tuple(e for e in older if e.name != "postgresql-17")
    assert chooser(replace(found, entries=without)).clusters() == []


def test_a_cluster_half_dropped_is_made_anew_by_the_next_apply():
    assert DROPPING in "".join(step.shell() for step in Cluster("17").change(None))


def test_a_database_that_was_there_stays():
    adopted = tuple(
        replace(e, was="there") if e.kind in ("role", "database", "cluster") else e
        for e in FOUND.entries
    )
    found = replace(FOUND, entries=adopted)
    assert chooser(found).databases() == []
    assert chooser(found).clusters() == []


def test_originals_come_back_and_the_rest_goes():
    assert chooser().originals() == ["/etc/timezone"]
    assert "/etc/systemd/system/airflow.target" in chooser().files()
    assert "/opt/mlops/airflow/abc/mlops.pth" not in chooser().files(), "goes with its tree"


def test_folders_with_files_of_others_stay():
    cluster = [f"{top}/postgresql{end}" for top in ("/etc", "/var/lib") for end in ("", "/17")]
    ours = ["/opt/mlops", "/opt/mlops/airflow"]
    assert chooser().directories() == sorted([*cluster, *ours])
    assert chooser(FOUND, "/opt/mlops/x").directories() == sorted([*cluster, ours[1]])


def test_data_stays_with_its_user_unless_it_shall_go():
    assert "/srv/mlops/data" not in chooser().trees()
    assert chooser().accounts("user") == [], "packages stay, and may need theirs"
    assert chooser(ALONE).accounts("user") == ["postgres"]
    assert "/srv/mlops/data" in chooser(keep_data=False).trees()
    assert chooser(ALONE, keep_data=False).accounts("user") == ["airflow", "postgres"]
    assert "/srv/mlops" in chooser(keep_data=False).directories()


def test_the_next_uninstall_finds_what_stayed():
    text = plan._next_journal(chooser(ALONE))
    names = {e.name for e in journal.parse(text)}
    assert {"airflow", "/srv/mlops/data", "/srv/mlops", "1"} <= names
    assert not names & {"/etc/timezone", "nginx", "/opt/mlops", "postgres"}
    assert not any(name.startswith("/var/cache") for name in names), "gone with the tree around it"
    found = replace(FOUND, entries=journal.parse(text))
    assert chooser(found, keep_data=False).trees() == ["/srv/mlops/data"]


def test_each_uninstall_tells_which_packages_were_upgraded():
    newer = replace(ALONE, entries=(*ALONE.entries, *entries(("upgraded", "libc6", "2.36-8"))))
    text = plan._next_journal(chooser(newer))
    again = replace(newer, entries=journal.parse(text))
    for found in (newer, again):
        kept = {k.name: k.why for k in plan.make(found, (), keep_data=False).kept}
        assert kept["package libc6"] == "upgraded from 2.36-8; it stays"


def test_what_nobody_kept_on_an_older_server_is_left_and_told():
    older = entries(("file", "/etc/timezone", "unknown"))
    found = replace(FOUND, entries=older)
    assert "/etc/timezone" not in chooser(found).files()
    assert "/etc/timezone" in {k.name for k in plan.make(found, (), keep_data=True).kept}


def test_every_script_is_shell():
    more = entries(
        ("locale", "de_CH.UTF-8", "none"),
        ("authorities", "/usr/local/share/ca-certificates/mlops", "none"),
        ("tree", "/srv/mlops/data", "700 0:0"),
        ("unit", "nginx.service", "disabled inactive"),
        ("group", "airflow", "there"),
    )
    for found in (FOUND, replace(FOUND, entries=more), replace(FOUND, entries=entries())):
        for keep in (True, False):
            for part in plan.make(found, (), keep_data=keep).parts:
                for text in (part.probe(), *(step.shell() for step in part.change(None))):
                    done = subprocess.run(["bash", "-n"], input=text, text=True, check=False)
                    assert done.returncode == 0, text


@pytest.mark.skipif(os.getuid() != 0, reason="mounts need root")
@pytest.mark.parametrize("mounted", ["data", "data/second disk"])
def test_a_folder_with_its_own_file_system_is_emptied_and_its_mount_point_stays(tmp_path, mounted):
    top = tmp_path / "srv"
    place = top / mounted
    place.mkdir(parents=True)
    (top / "data/deep").mkdir()
    (top / "data/deep/of ours").write_text("x")
    subprocess.run(["mount", "-t", "tmpfs", "none", place], check=True)
    try:
        for name in ("file", ".hidden"):
            (place / name).write_text("x")
        part = parts.folders([str(top / "data")], [])
        check = ["bash", "-ec", part.check]
        assert subprocess.check_output(check, text=True) != ""
        for step in part.steps:
            subprocess.run(["bash", "-ec", step.shell()], check=True, stderr=subprocess.DEVNULL)
        assert subprocess.check_output(check, text=True) == ""
        assert place.is_mount()
        kept = [".hidden", "file"] if "second" in mounted else []
        assert sorted(path.name for path in place.iterdir()) == kept
        assert not (top / "data/deep").exists()
    finally:
        subprocess.run(["umount", place], check=True)
    for step in part.steps:
        subprocess.run(["bash", "-ec", step.shell()], check=True)
    assert not (top / "data").exists()


def test_a_folder_of_others_loses_the_setgid_bit_that_it_got(tmp_path):
    path = tmp_path / "theirs"
    path.mkdir()
    path.chmod(0o2775)
    was = f"1777 {os.getuid()}:{os.getgid()}"
    part = parts.modes([Entry("mode", str(path), was, "")])
    for step in part.change(None):
        subprocess.run(["bash", "-ec", step.shell()], check=True)
    assert path.stat().st_mode & 0o7777 == 0o1777
    assert subprocess.run(["bash", "-c", part.probe()], check=False).returncode == ABSENT


def test_a_folder_of_ours_loses_a_setgid_bit_that_it_should_not_have(tmp_path):
    path = tmp_path / "ours"
    path.mkdir()
    path.chmod(0o2755)
    owner, group = str(os.getuid()), str(os.getgid())
    for step in Directory(str(path), 0o755, owner, group).change(None):
        subprocess.run(["bash", "-ec", step.shell()], check=True)
    assert path.stat().st_mode & 0o7777 == 0o755
