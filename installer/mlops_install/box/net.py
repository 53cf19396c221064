"""The network of a box: a /30 of its own, one veth pair, one nftables table.

Everything is named after the index of the subnet, so that names fit into 15 characters.
"""

import shutil
import subprocess
import time
from collections.abc import Collection, Iterable
from dataclasses import dataclass
from ipaddress import IPv4Network, ip_network
from itertools import pairwise
from pathlib import Path

from mlops_install.box.tools import run
from mlops_install.errors import BoxError

POOL = ip_network("10.213.0.0/16")
FORWARDING = Path("/proc/sys/net/ipv4/ip_forward")
SUBNETS = 2 ** (30 - POOL.prefixlen)


@dataclass(frozen=True)
class Link:
    """Where the box with subnet number `index` (0 to 16383) is on the network."""

    index: int

    @property
    def subnet(self) -> IPv4Network:
        """The /30: network, this machine, box, broadcast."""
        return IPv4Network((int(POOL.network_address) + 4 * self.index, 30))

    @property
    def gateway(self) -> str:
        """This machine's address as the box sees it."""
        return str(self.subnet[1])

    @property
    def address(self) -> str:
        """The box's address."""
        return str(self.subnet[2])

    @property
    def interface(self) -> str:
        """The name of this machine's end of the veth pair and of the network namespace."""
        return f"mlbox{self.index}"

    @property
    def table(self) -> str:
        """The name of the nftables table."""
        return f"mlops_box_{self.index}"

    @property
    def namespace(self) -> Path:
        """The file that keeps the network namespace."""
        return Path("/run/netns") / self.interface


def free_link(taken: Collection[int]) -> Link:
    """The first subnet that no box in `taken` and no address or route of this machine has."""
    present = parse_routes(run("ip", "-4", "route", "show", "table", "all"))
    present += parse_routes(run("ip", "-4", "-oneline", "address", "show"), word="inet")
    for index in range(SUBNETS):
        link = Link(index)
        if index not in taken and not any(link.subnet.overlaps(other) for other in present):
            return link
    raise BoxError(
        f"no subnet of {POOL} is free",
        fix="remove boxes (`mlops-install box list`), or the routes that are in it",
    )


def parse_routes(text: str, word: str = "") -> list[IPv4Network]:
    """The networks in the output of `ip`: the first word of a line, or the one after `word`.

    Wider ones than the pool (a default route, a VPN's 10.0.0.0/8) do not count: a box's /30
    is the more specific one.
    """
    found: list[IPv4Network] = []
    for line in text.splitlines():
        for candidate in _candidates(line.split(), word):
            try:
                network = IPv4Network(candidate, strict=False)
            except ValueError:
                continue
            if network.prefixlen >= POOL.prefixlen:
                found.append(network)
    return found


def _candidates(words: list[str], word: str) -> Iterable[str]:
    if word:
        return [after for before, after in pairwise(words) if before == word]
    kinds = ("local", "broadcast", "unicast", "blackhole", "unreachable", "prohibit", "throw")
    return [w for w in words[:2] if w not in kinds][:1]


def connect(link: Link, *, nat: bool) -> None:
    """Make the network namespace, the veth pair and the firewall of a box that does not run."""
    disconnect(link)
    name, mtu = link.interface, _mtu()
    run("ip", "netns", "add", name)
    run("ip", "link", "add", name, "mtu", mtu, "type", "veth",
        "peer", "name", "host0", "mtu", mtu, "netns", name)  # fmt: skip
    run("ip", "address", "add", f"{link.gateway}/30", "dev", name)
    run("ip", "link", "set", name, "up")
    inside = ("ip", "-netns", name)
    run(*inside, "link", "set", "lo", "up")
    run(*inside, "address", "add", f"{link.address}/30", "dev", "host0")
    run(*inside, "link", "set", "host0", "up")
    run(*inside, "route", "add", "default", "via", link.gateway)
    firewall(link, nat=nat)


def disconnect(link: Link) -> None:
    """Remove all that `connect` made, whatever is left of it.

    Deleting the interface waits for it, deleting the namespace alone would not.
    """
    _accept(link, wanted=False)
    run("nft", "-f", "-", stdin=_no_table(link))
    if Path("/sys/class/net", link.interface).exists():
        run("ip", "link", "delete", link.interface, answers=(0, 1))
    if link.namespace.exists():
        run("ip", "netns", "delete", link.interface)
    _wait_gone(Path("/sys/class/net", link.interface))


def _wait_gone(path: Path) -> None:
    for _ in range(100):
        if not path.exists():
            return
        time.sleep(0.05)
    raise BoxError(f"interface {path.name} cannot be removed", fix=f"`ip link delete {path.name}`")


def firewall(link: Link, *, nat: bool) -> None:
    """Set which traffic passes: the world through this machine's address, or nothing.

    Without `nat` only this machine and the box can talk to each other.
    """
    if nat and FORWARDING.read_text().strip() != "1":
        FORWARDING.write_text("1\n")
    run("nft", "-f", "-", stdin=_no_table(link) + rules(link, nat=nat))
    _accept(link, wanted=nat)


def rules(link: Link, *, nat: bool) -> str:
    """The nftables table of a box.

    A drop wins over what other tables accept, so that a box without NAT stays alone even when
    this machine forwards for others.
    """
    if nat:
        hook = "nat hook postrouting priority srcnat"
        lines = [f'ip saddr {link.subnet} oifname != "mlbox*" masquerade']
    else:
        hook = "filter hook forward priority filter"
        lines = [f'iifname "{link.interface}" drop', f'oifname "{link.interface}" drop']
    chain = "\n".join([f"type {hook}; policy accept", *lines])
    return f"table ip {link.table} {{\nchain box {{\n{chain}\n}}\n}}\n"


def _no_table(link: Link) -> str:
    """Delete the table; making it first lets that succeed when there is none."""
    return f"table ip {link.table}\ndelete table ip {link.table}\n"


def _accept(link: Link, *, wanted: bool) -> None:
    """Let the box through a FORWARD chain of iptables that drops by policy, as Docker sets it.

    nftables cannot do that from a table of ours: there a drop is final.
    """
    if not shutil.which("iptables"):
        return
    drops = run("iptables", "-w", "-S", "FORWARD", answers=(0, 1, 3, 4)).startswith(
        "-P FORWARD DROP"
    )
    for option in ("-i", "-o"):
        rule = ["FORWARD", option, link.interface, "-j", "ACCEPT"]
        while not subprocess.run(
            ["iptables", "-w", "-D", *rule], capture_output=True, check=False
        ).returncode:
            pass
        if wanted and drops:
            run("iptables", "-w", "-I", *rule)


def _mtu() -> str:
    """The MTU towards the default route: a larger one inside would lose big packets."""
    words = run("ip", "-4", "route", "show", "default").split()
    for before, device in pairwise(words):
        if before == "dev":
            return Path("/sys/class/net", device, "mtu").read_text().strip()
    return "1500"
