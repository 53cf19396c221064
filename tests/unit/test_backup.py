"""Backups without a server: names, what goes, archives and their damage, encryption, put back."""

import hashlib
import io
import json
import os
import shutil
import subprocess
import sys
import tarfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from mlops_install import backups, restoring
from mlops_install.config import parse
from mlops_install.errors import ApplyError, ConfigError
from mlops_install.host import Local
from mlops_server import database, disk
from mlops_server.backup import archive, config, folder, parts, putback, rebuild, seal
from mlops_server.backup import data as filled
from mlops_server.backup.config import Config
from mlops_server.backup.rehearsal import rehearse
from mlops_server.errors import EnvError
from mlops_server.layout import Layout

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
NO_BACKUPS = {  # what a file begins with -> what is said of it
    b"": "it is empty",
    b"hello\n": "neither a tar nor encrypted",
    b"\x8c\x0d": "neither a tar nor encrypted",  # gpg's first byte, and nothing more of it
    "Übersicht der Sicherungen".encode("utf-16"): "neither a tar nor encrypted",
    b"\xc3\x9cbersicht der Sicherungen": "neither a tar nor encrypted",
    b"-----BEGIN PGP MESSAGE-----\n": "armoured",
    b"-----BEGIN AGE ENCRYPTED FILE-----\n": "armoured",
    b"\x1f\x8b\x08\0\0": "packed by gzip",
    b"\x85\x02\x0c\x03": "for a key",
    b"x" * 257 + b"ustar\x0000" + b"x" * 500: "damaged",
}


def one(days: float, kind: str = "timer", good: bool = True) -> folder.Archive:
    made = NOW - timedelta(days=days)
    return folder.Archive(folder.name(made, kind, ""), made, kind, "", 1, good, {})


def gone(*found: folder.Archive, keep: int = 2) -> list[float]:
    """Age in days of those that go."""
    return [(NOW - a.made) / timedelta(days=1) for a in folder.doomed(found, keep, NOW)]


# --- which go -----------------------------------------------------------------------------


def test_the_newest_are_kept():
    assert gone(one(1), one(2), one(3), one(4)) == [3, 4]


def test_fewer_than_wanted_all_stay():
    assert gone(one(1), one(200), keep=3) == []


def test_a_damaged_one_does_not_push_a_good_one_out():
    assert gone(one(1, good=False), one(2), one(3), one(4, good=False), one(5)) == [4, 5]


def test_the_newest_good_one_never_goes():
    assert gone(one(30, "restore"), one(1, good=False)) == []
    assert gone(one(30, "restore"), one(40, "restore"), one(1, good=False)) == [40]


@pytest.mark.parametrize("kind", ["restore", "uploaded"])
def test_others_stay_for_days_and_are_not_counted(kind):
    assert gone(one(0), one(1), one(2), one(3, kind), one(8, kind)) == [2, 8]


def numbered(number: int, days: float, kind: str = "timer", good: bool = True) -> folder.Archive:
    return replace(one(days, kind, good), note={"number": number})


def test_a_clock_that_was_ahead_or_behind_changes_nothing():
    made = [numbered(1, 5), numbered(2, -1500), numbered(3, 4000), numbered(4, 3)]
    for keep, left in ((3, [1]), (2, [1, 2]), (1, [1, 2, 3])):
        gone_ = {a.note["number"] for a in folder.doomed(made, keep, NOW)}
        assert gone_ == set(left)


def test_one_of_the_future_without_a_number_is_neither_newest_nor_gone():
    future, now = one(-1500), numbered(1, 0)
    assert folder.doomed([future, now], 1, NOW) == []
    assert folder.doomed([one(1), future, now], 1, NOW) == [one(1)]


# --- the folder ---------------------------------------------------------------------------


@pytest.fixture
def layout(tmp_path: Path) -> Layout:
    made = Layout(tmp_path)
    made.backups.mkdir(parents=True, mode=0o700)
    return made


def put(
    layout: Layout, made: datetime, kind: str = "manual", text: bytes = b"x", number: int = 0
) -> Path:
    path = layout.backups / folder.name(made, kind, "")
    fresh = path.with_name(path.name + ".new")
    fresh.write_bytes(text)
    note = {"size": len(text), "sha256": folder.sha256(fresh)}
    folder.publish(fresh, path, note | ({"number": number} if number else {}))
    return path


def test_a_cut_archive_and_one_without_note_are_not_good(layout):
    whole, cut, bare = (put(layout, NOW - timedelta(days=n), text=b"text") for n in range(3))
    cut.write_bytes(b"te")
    folder.note_path(bare).unlink()
    assert [(a.name, a.good) for a in folder.archives(layout)] == [
        (whole.name, True), (cut.name, False), (bare.name, False)
    ]  # fmt: skip
    assert folder.note_path(whole).stat().st_mode & 0o077 == 0


def test_latest_is_the_newest(layout):
    with pytest.raises(EnvError, match="none yet"):
        folder.find(layout, "latest")
    put(layout, NOW - timedelta(days=1))
    newest = put(layout, NOW)
    assert folder.find(layout, "latest") == newest
    for hour, kind in enumerate(("restore", "uploaded"), 1):  # a restore that is run again
        put(layout, NOW + timedelta(hours=hour), kind)
    put(layout, NOW + timedelta(hours=3)).write_bytes(b"damaged")
    assert folder.find(layout, "latest") == newest
    with pytest.raises(EnvError, match="there is no backup"):
        folder.find(layout, "../../../etc/passwd")


def test_the_newest_is_the_one_made_last_whatever_the_clock_says(layout):
    future = put(layout, NOW + timedelta(days=1500), number=1)
    behind = put(layout, NOW - timedelta(days=4000), number=2)
    assert folder.find(layout, "latest") == behind
    assert [a.name for a in folder.archives(layout)] == [behind.name, future.name]
    assert folder.next_number(layout) == 3
    shell = backups.newest("manual", "timer").replace(backups.FOLDER, str(layout.backups))
    put(layout, NOW, "restore", number=9)
    assert subprocess.check_output(["sh", "-c", shell], text=True) == f"{behind.name}\n"
    for path in (future, behind):
        note = json.loads(folder.note_path(path).read_bytes())
        folder.note_path(path).write_text(json.dumps({k: note[k] for k in ("size", "sha256")}))
    assert subprocess.check_output(["sh", "-c", shell], text=True) == f"{future.name}\n"
    shell = backups.newest().replace(backups.FOLDER, str(layout.root / "nothing"))
    assert subprocess.check_output(["sh", "-c", shell], text=True) == ""


def test_nothing_prunes_what_it_has_just_made(layout):
    layout.backup_config.parent.mkdir(parents=True)
    layout.backup_config.write_text("keep = 1\n")
    put(layout, NOW + timedelta(days=1500))
    mine = put(layout, NOW)
    archive.prune(layout, lambda _: None, spared=mine.name)
    assert mine.exists()


def test_parts_of_the_future_do_not_stay_for_ever(layout):
    folder.stage(layout).mkdir()
    folder.tidy(layout, datetime.now(UTC) - timedelta(days=300))
    assert not folder.stage(layout).exists()


def test_what_a_killed_command_left_goes(layout):
    kept = put(layout, NOW)
    folder.work(layout).mkdir()
    (folder.work(layout) / "airflow.dump").write_bytes(b"plain")
    (layout.backups / f"{kept.name}.new").write_bytes(b"half")
    folder.note_path(layout.backups / folder.name(NOW, "timer", "age")).write_text("{}")
    folder.stage(layout).mkdir()
    folder.tidy(layout, datetime.now(UTC))
    names = {path.name for path in layout.backups.iterdir()}
    assert names == {kept.name, f"{kept.name}.json", ".restore"}
    folder.tidy(layout, datetime.now(UTC) + timedelta(hours=2))
    assert not folder.stage(layout).exists()


def test_a_switch_that_was_broken_off_is_not_tidied_away(layout):
    folder.stage(layout).mkdir()
    (folder.stage(layout) / "switch.json").write_text("{}")
    folder.tidy(layout, datetime.now(UTC) + timedelta(days=2))
    assert (folder.stage(layout) / "switch.json").exists()


def test_an_upload_that_is_under_way_is_left_alone(layout):
    fresh = layout.backups / f"{folder.name(NOW, 'uploaded', '')}.new"
    fresh.write_bytes(b"half")
    folder.tidy(layout, datetime.now(UTC))
    assert fresh.exists()
    folder.tidy(layout, datetime.now(UTC) + timedelta(hours=2))
    assert not fresh.exists()


def test_one_at_a_time(layout):
    with (
        folder.locked(layout),
        pytest.raises(EnvError, match="at work"),
        folder.locked(layout),
    ):
        pass


def test_settings_are_strict(layout):
    assert config.read(layout) == Config()
    layout.backup_config.parent.mkdir(parents=True)
    layout.backup_config.write_text('keep = 3\nage_recipient = "age1x"\n')
    assert config.read(layout).seal == "age"
    for text in ("keep = 0", 'keep = "7"', "keeep = 7", "data = 1", "keep"):
        layout.backup_config.write_text(text)
        with pytest.raises(EnvError):
            config.read(layout)


# --- archives -----------------------------------------------------------------------------


@pytest.fixture
def work(tmp_path: Path) -> Path:
    """Parts as `make` leaves them."""
    made = tmp_path / "work"
    made.mkdir()
    (made / parts.FILES).write_bytes(os.urandom(1000))
    (made / "airflow.dump").write_bytes(os.urandom(300_000))
    about = {p.name: {"size": p.stat().st_size, "sha256": folder.sha256(p)} for p in made.iterdir()}
    manifest = {
        "format": parts.FORMAT, "parts": about, "databases": {}, "made": "2026-03-01T12:00:00Z",
        "host": "old", "airflow": "3.3.2", "heads": {}, "data": False, "counts": {},
    }  # fmt: skip
    (made / parts.MANIFEST).write_text(json.dumps(manifest))
    return made


def written(work: Path) -> bytes:
    out = io.BytesIO()
    parts.write(work, out)
    return out.getvalue()


def test_an_archive_reads_back(work, tmp_path):
    into = tmp_path / "into"
    into.mkdir()
    manifest = parts.read(io.BytesIO(written(work)), into)
    assert manifest == json.loads((work / parts.MANIFEST).read_bytes())
    assert (into / "airflow.dump").read_bytes() == (work / "airflow.dump").read_bytes()
    assert {path.stat().st_mode & 0o777 for path in into.iterdir()} == {0o600}


@pytest.mark.parametrize("where", [100, 2_000, 150_000, -150_000])
def test_one_changed_byte_is_found(work, where):
    data = bytearray(written(work))
    data[where] ^= 1
    with pytest.raises(EnvError):
        parts.read(io.BytesIO(bytes(data)))


@pytest.mark.parametrize("length", [0, 10, 512, 5_000, 200_000])
def test_a_cut_archive_is_found(work, length):
    with pytest.raises(EnvError):
        parts.read(io.BytesIO(written(work)[:length]))


@pytest.mark.parametrize("name", ["../evil", "/etc/passwd", "other.dump"])
def test_foreign_members_are_refused(work, name):
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as tar:
        tar.add(work / parts.MANIFEST, parts.MANIFEST)
        tar.add(work / "airflow.dump", name)
    with pytest.raises(EnvError, match="which no backup has"):
        parts.read(io.BytesIO(out.getvalue()))


def test_a_later_format_is_refused(work):
    manifest = json.loads((work / parts.MANIFEST).read_bytes()) | {"format": 2}
    (work / parts.MANIFEST).write_text(json.dumps(manifest))
    with pytest.raises(EnvError, match="format 2"):
        parts.read(io.BytesIO(written(work)))


def test_people_get_counts():
    found = parts.counts({"public.dag_run": "12|-3.5", "public.ab_user": "2|1", "public.x": "1|1"})
    assert found == {"DAG runs": 12, "users": 2}


def test_differences_name_tables():
    wanted = database._parsed(
        '["public.a", 1, "5"]\n["public.b", 2, "6"]\nnoise\n["public.c_seq", 7, "t"]\n'
    )
    assert wanted == {"public.a": "1|5", "public.b": "2|6", "public.c_seq": "7|t"}
    found = {"public.a": "1|5", "public.b": "2|7", "public.d": "0|0"}
    assert database.differences(wanted, found) == ["public.b", "public.c_seq", "public.d"]


def test_a_sequence_may_go_on_while_a_dump_is_made():
    wanted = {"sequence public.s": "7|t"}
    assert database.differences(wanted, {"sequence public.s": "9|t"}) == []
    assert database.differences(wanted, {"sequence public.s": "6|t"}) == ["sequence public.s"]
    assert database.differences(wanted, {}) == ["sequence public.s"]


# --- encryption ---------------------------------------------------------------------------


@pytest.fixture
def encrypted(layout: Layout, work: Path) -> Path:
    if not shutil.which("gpg"):
        pytest.skip("gpg is not installed")
    layout.backup_passphrase.parent.mkdir(parents=True)
    layout.backup_passphrase.write_text("open sesame\n")
    path = layout.backups / folder.name(NOW, "manual", "gpg")
    with (
        path.open("wb") as target,
        seal.writer(layout, Config(passphrase=True), target) as out,
    ):
        parts.write(work, out)
    return path


def test_a_passphrase_opens_what_it_closed(encrypted, work):
    assert restoring.proven(encrypted) == "gpg"
    assert (work / "airflow.dump").read_bytes()[:64] not in encrypted.read_bytes()
    with seal.reader(encrypted, "gpg", b"open sesame") as source:
        assert parts.read(source) == json.loads((work / parts.MANIFEST).read_bytes())


@pytest.mark.parametrize("secret", [b"wrong", b""])
def test_another_passphrase_does_not(encrypted, secret):
    with (
        pytest.raises(EnvError, match="passphrase"),
        seal.reader(encrypted, "gpg", secret) as source,
    ):
        parts.read(source)


def test_a_changed_encrypted_archive_is_found(encrypted):
    data = bytearray(encrypted.read_bytes())
    data[len(data) // 2] ^= 1
    encrypted.write_bytes(data)
    with pytest.raises(EnvError), seal.reader(encrypted, "gpg", b"open sesame") as source:
        parts.read(source)


def test_without_room_the_cause_is_told(layout):
    layout.backup_passphrase.parent.mkdir(parents=True)
    layout.backup_passphrase.write_text("open sesame\n")
    closed = Config(passphrase=True)

    def write() -> None:
        with open("/dev/full", "wb") as full, seal.writer(layout, closed, full) as out:
            for _ in range(100):
                out.write(os.urandom(1 << 16))

    with pytest.raises(EnvError, match="cannot encrypt"):
        write()


# --- put back -----------------------------------------------------------------------------


def file(path: Path, text: str = "old", mode: int = 0o600) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    path.chmod(mode)


@pytest.fixture
def unpacked(tmp_path: Path) -> Path:
    tree = tmp_path / "unpacked"
    file(tree / "etc/mlops/secrets/fernet_key")
    file(tree / "etc/mlops/secrets/services/churn")
    file(tree / "etc/mlops/services/churn.3.json", '{"folder": "/srv/x"}')
    (tree / "etc/mlops/services/churn.sock").symlink_to("/run/mlops/models/churn.3.sock")
    file(tree / "var/lib/mlops/history.jsonl", "one\ntwo\n")
    file(tree / "var/lib/mlops/journal.jsonl")
    file(tree / "var/lib/mlops/server_name", "old.example.org")
    file(tree / "var/lib/mlops/workflows/state.json")
    file(tree / "srv/mlops/workflows/releases/abc/dags/a.py", mode=0o644)
    (tree / "srv/mlops/workflows/current").symlink_to("/srv/mlops/workflows/releases/abc")
    return tree


def test_files_return_and_a_second_time_changes_nothing(layout, unpacked):
    file(layout.root / "etc/mlops/secrets/fernet_key", "new", 0o644)
    file(layout.root / "var/lib/mlops/history.jsonl", "two\nthree\n")
    file(layout.root / "var/lib/mlops/server_name", "new.example.org")
    for _ in range(2):
        putback.files(layout, unpacked)
    root = layout.root
    assert (root / "etc/mlops/secrets/fernet_key").read_text() == "old"
    assert (root / "etc/mlops/secrets/fernet_key").stat().st_mode & 0o777 == 0o600
    assert (root / "etc/mlops/secrets/services/churn").read_text() == "old"
    assert (root / "var/lib/mlops/history.jsonl").read_text() == "one\ntwo\nthree\n"
    assert (root / "var/lib/mlops/server_name").read_text() == "new.example.org"
    assert not (root / "var/lib/mlops/journal.jsonl").exists()
    assert not (root / "etc/mlops/services").exists()
    assert os.readlink(layout.current_release) == "/srv/mlops/workflows/releases/abc"
    assert (root / "var/lib/mlops/workflows/state.json").read_text() == "old"
    assert not list(root.rglob(f"{disk.OWN}*"))


def test_workflows_in_force_stay(layout, unpacked):
    file(layout.releases / "def/dags/b.py")
    layout.current_release.symlink_to(layout.releases / "def")
    file(layout.workflows_state / "state.json", "new")
    putback.files(layout, unpacked)
    assert layout.current_release.resolve().name == "def"
    assert (layout.workflows_state / "state.json").read_text() == "new"


def test_services_are_remembered_for_later(layout, unpacked):
    stage = folder.stage(layout)
    shutil.copytree(unpacked, stage / "files", symlinks=True)
    putback.services_aside(layout, stage)
    assert rebuild.in_service(stage / "services") == {"churn": {"folder": "/srv/x"}}
    assert rebuild.in_service(stage / "nothing") == {}


# --- on this side -------------------------------------------------------------------------


@pytest.fixture
def data(layout: Layout, tmp_path: Path) -> Path:
    """The data folder's part of a backup; the folder itself has changed since."""
    for name in ("there", "gone", "sub/there", "sub/gone", "trap/evil", "lost/deep/file"):
        file(layout.data / name, "backup")
    (layout.data / "link").symlink_to("gone")
    archive = tmp_path / "data.tar.gz"
    top = str(layout.data.relative_to(layout.root))
    subprocess.run(["tar", "-C", layout.root, "-czf", archive, top], check=True)
    for name in ("gone", "link", "sub/gone"):
        (layout.data / name).unlink()
    for name in ("trap", "lost"):
        shutil.rmtree(layout.data / name)
    file(layout.data / "there", "newer")
    (tmp_path / "system").mkdir()
    (layout.data / "trap").symlink_to(tmp_path / "system")
    return archive


@pytest.mark.skipif(os.getuid() != 0, reason="owners need root")
def test_missing_data_comes_back_and_no_link_is_followed(layout, data, tmp_path):
    for _ in range(2):
        filled.restore(layout, data)
        found = {
            str(path.relative_to(layout.data)): path.read_text()
            for path in layout.data.rglob("*") if path.is_file() and not path.is_symlink()
        }  # fmt: skip
        assert found == {
            "there": "newer", "gone": "backup", "sub/there": "backup", "sub/gone": "backup",
            "lost/deep/file": "backup",
        }  # fmt: skip
        assert os.readlink(layout.data / "link") == "gone"
        assert list((tmp_path / "system").iterdir()) == []


def tar_of_data(layout: Layout, archive: Path) -> Path:
    words = ["tar", "-C", layout.root, "--sparse", "-czf", archive]
    subprocess.run([*words, str(layout.data.relative_to(layout.root))], check=True)
    return archive


@contextmanager
def mounted(place: Path, *options: str) -> Iterator[None]:
    place.mkdir(parents=True, exist_ok=True)
    subprocess.run(["mount", "-t", "tmpfs", *options, "none", place], check=True)
    try:
        yield
    finally:
        subprocess.run(["umount", place], check=True)


@pytest.mark.skipif(os.getuid() != 0, reason="owners and mounts need root")
def test_data_comes_back_onto_a_second_disk_with_names_holes_and_owners(layout, tmp_path):
    disk_, longest = layout.data / "disk", "n" * 255
    file(disk_ / longest, "long", mode=0o640)
    os.chown(disk_ / longest, 12345, 12345)
    os.utime(disk_ / longest, (1000, 1000))
    os.link(disk_ / longest, disk_ / "twin")
    with (disk_ / "holes").open("wb") as holes:
        holes.truncate(1 << 40)
        holes.seek(1 << 39)
        holes.write(b"in the middle")
    file(layout.data / ".mlops-restore", "a user's")
    archive = tar_of_data(layout, tmp_path / "data.tar.gz")
    shutil.rmtree(disk_)
    with mounted(disk_):
        filled.restore(layout, archive)
        found = (disk_ / longest).stat()
        assert (found.st_uid, found.st_gid, found.st_mode & 0o7777) == (12345, 12345, 0o640)
        assert (found.st_mtime, found.st_nlink) == (1000, 2)
        with (disk_ / "holes").open("rb") as holes:
            holes.seek(1 << 39)
            assert holes.read(13) == b"in the middle"
        about = (disk_ / "holes").stat()
        assert (about.st_size, about.st_blocks < 1000) == (1 << 40, True)
        assert {path.name for path in disk_.iterdir()} == {longest, "twin", "holes"}


@pytest.mark.skipif(os.getuid() != 0, reason="mounts need root")
def test_a_full_data_disk_is_said_with_the_file(layout, tmp_path):
    file(layout.data / "disk/big", "x" * (1 << 20))
    archive = tar_of_data(layout, tmp_path / "data.tar.gz")
    (layout.data / "disk/big").unlink()
    with mounted(layout.data / "disk", "-o", "size=64k"):
        with pytest.raises(EnvError, match=r"disk/big on: .*No space left"):
            filled.restore(layout, archive)
        assert list((layout.data / "disk").iterdir()) == []


# --- rehearsed before the switch ----------------------------------------------------------


def test_files_with_the_longest_names_come_back(layout, unpacked):
    longest = Path("srv/mlops/workflows/releases/abc/dags") / ("n" * 252 + ".py")
    file(unpacked / longest)
    rehearse(layout, unpacked)
    putback.files(layout, unpacked)
    assert (layout.root / longest).read_text() == "old"
    assert {path.name for path in (layout.root / longest).parent.iterdir()} == {
        "a.py",
        longest.name,
    }


def test_a_rehearsal_changes_nothing(layout, unpacked):
    file(layout.root / "etc/mlops/secrets/fernet_key", "new")
    before = sorted(layout.root.rglob("*"))
    rehearse(layout, unpacked)
    assert sorted(layout.root.rglob("*")) == before


def test_a_folder_in_the_place_of_a_file_is_said_before(layout, unpacked):
    (layout.root / "etc/mlops/secrets/fernet_key").mkdir(parents=True)
    with pytest.raises(EnvError, match="fernet_key is a folder, and a file in the backup"):
        rehearse(layout, unpacked)


def test_a_file_in_the_place_of_a_folder_is_said_before(layout, unpacked):
    file(layout.root / "etc/mlops/secrets")
    with pytest.raises(EnvError, match="etc/mlops/secrets is not a folder"):
        rehearse(layout, unpacked)


@pytest.mark.skipif(os.getuid() != 0, reason="mounts need root")
@pytest.mark.parametrize(
    ("option", "message"),
    [("size=64k", "MiB are free at"), ("ro", "cannot be written: Read-only")],
)
def test_a_disk_without_room_or_right_is_said_before(layout, unpacked, option, message):
    file(unpacked / "etc/mlops/big", "x" * 100_000)
    with (
        mounted(layout.root / "etc/mlops", "-o", option),
        pytest.raises(EnvError, match=message),
    ):
        rehearse(layout, unpacked)


@pytest.mark.skipif(os.getuid() != 0, reason="mounts need root")
def test_a_file_that_is_mounted_is_said_before(layout, unpacked):
    key = Path("etc/mlops/secrets/fernet_key")
    file(layout.root / key)
    subprocess.run(["mount", "--bind", unpacked / key, layout.root / key], check=True)
    try:
        with pytest.raises(EnvError, match="is mounted, and cannot be replaced"):
            rehearse(layout, unpacked)
    finally:
        subprocess.run(["umount", layout.root / key], check=True)


def test_a_file_that_may_not_be_changed_is_said_before(layout, unpacked):
    target = layout.root / "etc/mlops/secrets/fernet_key"
    file(target)
    if subprocess.run(["chattr", "+i", target], capture_output=True, check=False).returncode:
        pytest.skip("this file system knows no attributes, or we are not root")
    try:
        with pytest.raises(EnvError, match="may not be changed"):
            rehearse(layout, unpacked)
    finally:
        subprocess.run(["chattr", "-i", target], check=True)


def test_two_ways_to_encrypt_exclude_each_other():
    key = "age1ql3z7hjy54pw3hyww5ayyfg7zqgvc7w3j2elw8zmrj2kg5sfn9aqmcac8p"
    text = f'[backup]\nage_recipient = "{key}"\npassphrase = {{ env = "X" }}\n'
    with pytest.raises(ConfigError, match="not both"):
        parse(text, "t")


def test_a_newer_schema_is_refused_before_anything_is_done():
    wanted = parse("", "t")
    heads = {"alembic_version": "x"}
    restoring._check(wanted, {"airflow": wanted.airflow.version, "heads": heads})
    with pytest.raises(ConfigError, match="no downgrade is possible"):
        restoring._check(wanted, {"airflow": "9.0.0", "heads": heads})
    with pytest.raises(ConfigError, match="does not know"):
        restoring._check(wanted, {"airflow": "2.10.0", "heads": heads})


def test_what_is_no_backup_is_refused_before_it_is_sent(tmp_path):
    file = tmp_path / "file"
    for data, reason in NO_BACKUPS.items():
        file.write_bytes(data)
        with pytest.raises(ConfigError, match=reason) as error:
            restoring.proven(file)
        assert error.value.fix
    file.write_bytes(b"age-encryption.org/v1\n-> X25519 x\n")
    assert restoring.proven(file) == "age"


def test_a_plain_archive_is_read_to_its_end_before_it_is_sent(tmp_path, work):
    file = tmp_path / "x.tar"
    with file.open("wb") as out:
        parts.write(work, out)
    assert restoring.proven(file) == ""
    whole = file.read_bytes()
    for cut in (whole[: len(whole) // 2], whole[:600], whole.replace(b"dump", b"dumb")):
        file.write_bytes(cut)
        with pytest.raises(ConfigError):
            restoring.proven(file)


@pytest.mark.parametrize(("key", "value"), [("made", "soon"), ("airflow", 3), ("heads", None)])
def test_a_manifest_that_is_not_ours_is_refused(work, key, value):
    manifest = json.loads((work / parts.MANIFEST).read_bytes()) | {key: value}
    (work / parts.MANIFEST).write_text(json.dumps(manifest))
    whole = io.BytesIO()
    parts.write(work, whole)
    whole.seek(0)
    with pytest.raises(EnvError, match=f"no {key}"):
        parts.read(whole)


def received(layout: Layout, data: bytes, kind: str = "") -> int:
    """Have the server's program take an archive; its exit code."""
    words = ["backup", "receive", folder.name(NOW, "uploaded", kind), str(len(data))]
    code = (
        "import sys; from pathlib import Path; from mlops_server.layout import Layout;"
        "from mlops_server.cli import main; sys.exit(main(sys.argv[2:], Layout(Path(sys.argv[1]))))"
    )
    words = [*words, hashlib.sha256(data).hexdigest()]
    command = [sys.executable, "-c", code, str(layout.root), *words]
    return subprocess.run(command, input=data, check=False).returncode


def test_the_server_takes_backups_only(layout, work):
    for data in NO_BACKUPS:
        assert received(layout, data) == 1
    assert folder.archives(layout) == []
    whole = io.BytesIO()
    parts.write(work, whole)
    assert received(layout, whole.getvalue()) == 0
    [one] = folder.archives(layout)
    assert (one.state, one.note["airflow"]) == ("good", "3.3.2")


def test_what_nobody_has_opened_is_not_called_good(layout):
    assert received(layout, b"age-encryption.org/v1\n-> X25519 x\n", "age") == 0
    [one] = folder.archives(layout)
    assert one.state == "not opened"
    folder.learn(layout.backups / one.name, {"made": "2026-03-01T12:00:00Z"})
    assert folder.archives(layout)[0].state == "good"


class Here(Local):
    """This machine, as who we are."""

    _sudo = "exec "


def test_a_server_that_stops_reading_an_upload_is_heard(tmp_path, monkeypatch):
    program = tmp_path / "mlops"
    program.write_text("#!/bin/sh\necho 'mlops: no space left'; echo 'fix: make room'; exit 1\n")
    program.chmod(0o755)
    monkeypatch.setattr(backups, "PROGRAM", str(program))
    monkeypatch.setattr(backups, "BUSY", "true")
    with pytest.raises(ApplyError, match="no space left") as error:
        backups.mlops(Here(), "receive", file=io.BytesIO(b"x" * (16 << 20)))
    assert error.value.fix == "make room"


def test_holes_of_sparse_files_need_no_room(layout, tmp_path, monkeypatch):
    layout.data.mkdir(parents=True)
    (layout.root / "var/lib/postgresql").mkdir(parents=True)
    with (layout.data / "sparse").open("wb") as file:
        file.truncate(10 << 40)
        file.write(b"x" * 100_000)
    assert 100_000 <= parts._weight(layout.data) < 1 << 20
    monkeypatch.setattr(database, "size", lambda name: 1)
    parts.room(layout, ["airflow"], Config(data=True))
    monkeypatch.setattr(parts, "_weight", lambda _: 1 << 60)
    with pytest.raises(EnvError, match=rf"of them for {layout.data}"):
        parts.room(layout, ["airflow"], Config(data=True))
    target = tmp_path / "data.tar.gz"
    parts._tar(layout.root, target, [str(layout.data.relative_to(layout.root))])
    assert target.stat().st_size < 1 << 20
