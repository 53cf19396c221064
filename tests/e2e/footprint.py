"""What is on a server, file by file, to compare two moments."""

from server import Server

VOLATILE = {  # left out of the comparison -> why
    "/proc": "the kernel's",
    "/sys": "the kernel's",
    "/dev": "the kernel's",
    "/run": "in memory, gone after a reboot",
    "/tmp": "for everybody, emptied at boot",
    "/var/tmp": "for everybody, emptied by age",
    "/var/lib/dpkg": "dpkg's records; what is installed is compared by dpkg-query",
    "/var/lib/apt": "lists of what could be installed; what was asked for is compared by apt-mark",
    "/var/lib/ucf": "records of a part of dpkg, with rotated copies",
    "/var/cache/apt": "downloads of apt",
    "/var/cache/debconf": "records of a part of dpkg",
    "/var/cache/ldconfig": "made anew by ldconfig when libraries come and go",
    "/var/log/apt": "log of apt",
    "/var/log/dpkg.log": "log of dpkg",
    "/var/log/alternatives.log": "log of a part of dpkg",
    "/var/log/journal/*": "log of the system; the folder itself is compared",
    "/var/log/lastlog": "grows with every login",
    "/var/log/wtmp": "grows with every login",
    "/var/log/wtmp.db": "grows with every login",
    "/var/lib/wtmpdb": "grows with every login",
    "/etc/passwd-": "the version before the last change, which useradd keeps",
    "/etc/group-": "the same",
    "/etc/shadow-": "the same",
    "/etc/gshadow-": "the same",
}
PRUNE = " -o ".join(f"-path '{path}'" for path in VOLATILE)
SCRIPT = f"""\
export LC_ALL=C
cd /
all() {{ find / -xdev \\( {PRUNE} \\) -prune -o "$@"; }}
all -printf 'file %p\\t%y %m %U:%G %l\\n'
all -type f -print0 | xargs -0 sha256sum | sed 's/^\\([0-9a-f]*\\)  \\(.*\\)/sha256 \\2\\t\\1/'
dpkg-query -W -f 'package ${{Package}}\\t${{Version}} ${{db:Status-Abbrev}}\\n' |
  grep -v 'not-installed'
apt-mark showmanual | sed 's/^/manual /'
getent passwd | sed 's/^/user /'
getent group | sed 's/^/group /'
systemctl list-unit-files --no-legend --plain | awk '{{print "unit-file", $1 "\\t" $2}}'
systemctl list-units --no-legend --plain --state=active,failed \\
  --type=service,socket,timer,target,slice,path | awk '{{print "active", $1}}'
ss -Hltun | awk '{{print "listens", $1, $5}}'
for process in /proc/[0-9]*/comm; do
  echo "process $(stat -c %U $process 2>/dev/null) $(cat $process 2>/dev/null)"
done | sort -u
"""
LOGIN = ("(", "sshd", "systemd", "bash", "sh", "cat", "stat", "sort", "sed", "sftp", "agetty")
MOMENTARY = (  # comes and goes with any login or timer
    *(f"process root {name}" for name in LOGIN), "process UNKNOWN",
    "active user@", "active user-", "active session-", "active run-", "active systemd-tmpfiles",
    "active apt-", "active dpkg-", "active systemd-hostnamed", "active systemd-localed",
    "active systemd-timedated",
    # Of systemd itself: once somebody wanted them they are there until the next boot.
    "active network-online.target", "active time-set.target", "active system-postgresql.slice",
)  # fmt: skip


def look(server: Server) -> dict[str, str]:
    """Everything that can be compared: name -> what it is."""
    lines = (" ".join(line.split(" ")) for line in server.ssh(SCRIPT).splitlines())
    pairs = (line.partition("\t") for line in lines)
    found = {" ".join(name.split()): value for name, _, value in pairs}
    return {n: v for n, v in found.items() if not n.startswith(MOMENTARY) and n != "process root"}


def differences(before: dict[str, str], after: dict[str, str]) -> dict[str, tuple[str, str]]:
    """What is not the same -> before and after."""
    names = before.keys() | after.keys()
    changed = {n: (before.get(n, "absent"), after.get(n, "absent")) for n in sorted(names)}
    return {name: pair for name, pair in changed.items() if pair[0] != pair[1]}
