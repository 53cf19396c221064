"""What a box takes over from its machine, and where it is on the network."""

import time
from pathlib import Path

import pytest
from mlops_install import box
from mlops_install.box import host, net, root, state, tools
from mlops_install.box.host import Source
from mlops_install.errors import BoxError

DEB822 = """\
# See sources.list(5)
Types: deb deb-src
URIs: http://mirror.example/debian
Suites: bookworm bookworm-updates bookworm-backports
Components: main
 contrib
Signed-By: /usr/share/keyrings/debian-archive-keyring.gpg

Types: deb
# an older one
URIs: https://mirror.example/debian-security
Suites: bookworm-security
Components: main

Types: deb
URIs: https://download.docker.com/linux/debian
Suites: bookworm
Components: stable
Signed-By: /etc/apt/keyrings/docker.asc

Types: deb
URIs: https://packages.example/prod
Suites: bookworm
Components: main
Signed-By: /usr/share/keyrings/example.gpg

Types: deb
Enabled: no
URIs: http://disabled.example/debian
Suites: bookworm
Components: main
"""

ONE_LINE = """\
# deb http://off.example/debian bookworm main
deb http://mirror.example/debian bookworm main contrib # comment
deb-src http://mirror.example/debian bookworm main
deb [arch=amd64 signed-by=/k/debian-archive-keyring.gpg] http://m.example/d bookworm-security main
deb [signed-by=/k/node.gpg] https://node.example/node_20.x nodistro main
deb https://cloud.example/apt cloud-sdk-bookworm main
deb http://apt.postgresql.org/pub/repos/apt bookworm-pgdg main
deb cdrom:[Debian]/ bookworm main
deb file:/srv/debian bookworm main
"""


class TestAptSources:
    def test_deb822_keeps_debian_and_renames_the_release(self) -> None:
        assert host.parse_deb822(DEB822, "bookworm", "trixie") == [
            Source(
                "http://mirror.example/debian", ("trixie", "trixie-updates"), ("main", "contrib")
            ),
            Source("https://mirror.example/debian-security", ("trixie-security",), ("main",)),
        ]

    def test_one_line_keeps_debian_and_renames_the_release(self) -> None:
        assert host.parse_one_line(ONE_LINE, "bookworm", "trixie") == [
            Source("http://mirror.example/debian", ("trixie",), ("main", "contrib")),
            Source("http://m.example/d", ("trixie-security",), ("main",)),
        ]

    def test_a_list_of_mirrors_stands_for_its_first(self, tmp_path: Path) -> None:
        listed = tmp_path / "debian.list"
        listed.write_text("# ours\nhttps://one.example/debian priority:1\nhttps://two.example/d\n")
        text = f"deb mirror+file:{listed} bookworm main\n"
        found = host.parse_one_line(text, "bookworm", "bookworm")
        assert [source.uri for source in found] == ["https://one.example/debian"]

    def test_what_is_written_is_read_back(self) -> None:
        both = ("trixie", "trixie-updates"), ("trixie-security",)
        for source in [Source("http://m.example/debian", suites, ("main",)) for suites in both]:
            assert host.parse_deb822(source.deb822(), "trixie", "trixie") == [source]
            lines = "\n".join(source.one_line())
            assert host.parse_one_line(lines, "trixie", "trixie")[0].uri == source.uri

    def test_options_that_reach_mirrors(self) -> None:
        dump = (
            'Acquire "";\nAcquire::http "";\nAcquire::http::Proxy "http://proxy.example:3142";\n'
            'Acquire::http::Proxy::mirror.example "DIRECT";\nAcquire::Check-Valid-Until "false";\n'
            'Acquire::https::Proxy "http://127.0.0.1:3142";\nDir::Cache "var/cache/apt";\n'
        )
        assert host.apt_options(dump) == {
            "Acquire::http::Proxy": "http://proxy.example:3142",
            "Acquire::http::Proxy::mirror.example": "DIRECT",
            "Acquire::Check-Valid-Until": "false",
        }


class TestOtherSettings:
    def test_index(self) -> None:
        files = host.index_files("https://pypi.example/simple")
        assert files["/etc/pip.conf"] == "[global]\nindex-url = https://pypi.example/simple\n"
        assert 'url = "https://pypi.example/simple"' in files["/etc/uv/uv.toml"]

    @pytest.mark.parametrize("url", ["", "file:///srv/pypi", "http://localhost:3141/simple"])
    def test_no_index_that_is_the_default_or_out_of_reach(self, url: str) -> None:
        assert host.index_files(url) == {}

    def test_environment(self) -> None:
        variables = {
            "http_proxy": "http://proxy.example:3128",
            "NO_PROXY": "localhost,.example",
            "HTTPS_PROXY": "http://127.0.0.1:3128",
            "SSL_CERT_FILE": "/etc/ssl/certs/ca-certificates.crt",
            "PIP_CERT": "/home/me/ca.pem",
            "PATH": "/bin",
        }
        assert host.environment(variables).splitlines() == [
            "http_proxy=http://proxy.example:3128",
            "NO_PROXY=localhost,.example",
            "SSL_CERT_FILE=/etc/ssl/certs/ca-certificates.crt",
        ]


class TestNetwork:
    @pytest.mark.parametrize(
        ("index", "gateway", "address"),
        [(0, "10.213.0.1", "10.213.0.2"), (64, "10.213.1.1", "10.213.1.2"),
         (16383, "10.213.255.253", "10.213.255.254")],
    )  # fmt: skip
    def test_subnets(self, index: int, gateway: str, address: str) -> None:
        link = net.Link(index)
        assert (link.gateway, link.address) == (gateway, address)
        assert len(link.interface) <= 15

    def test_routes_that_count(self) -> None:
        text = (
            "default via 192.0.2.1 dev eth0\n10.0.0.0/8 via 192.0.2.9 dev vpn0\n"
            "10.213.0.0/30 dev other proto kernel scope link src 10.213.0.1\n"
            "local 10.213.0.9 dev x table local\nunreachable 10.213.0.16/29\n"
        )
        assert [str(network) for network in net.parse_routes(text)] == [
            "10.213.0.0/30", "10.213.0.9/32", "10.213.0.16/29",
        ]  # fmt: skip

    def test_addresses_that_count(self) -> None:
        text = "2: eth0    inet 10.213.0.7/24 brd 10.213.0.255 scope global eth0\n"
        assert [str(n) for n in net.parse_routes(text, "inet")] == ["10.213.0.0/24"]

    def test_free_link_avoids_boxes_and_routes(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(net, "run", lambda *words: "10.213.0.0/29 dev x\n")
        assert net.free_link({2, 4}).index == 3

    def test_no_free_link(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(net, "run", lambda *words: "10.213.0.0/16 dev x\n")
        with pytest.raises(BoxError, match="no subnet"):
            net.free_link(set())

    def test_rules(self) -> None:
        assert "masquerade" in net.rules(net.Link(3), nat=True)
        assert 'iifname "mlbox3" drop' in net.rules(net.Link(3), nat=False)


class TestNames:
    @pytest.mark.parametrize("name", ["", "A", "a.b", "-a", "a-", "../x", "a" * 43, "a\n"])
    def test_bad_ones_are_refused(self, name: str) -> None:
        for action in (box.up, box.down, box.halt, box.power_off):
            with pytest.raises(BoxError, match="cannot be the name of a box"):
                action(name)

    def test_unknown_systems_are_refused(self) -> None:
        with pytest.raises(BoxError, match="no system 'debian-7'"):
            box.up("a", "debian-7")


def test_a_changed_recipe_has_another_key(monkeypatch: pytest.MonkeyPatch) -> None:
    before = root.recipe_key("debian-12")
    monkeypatch.setattr(root, "HOOK", root.HOOK + "true\n")
    assert before != root.recipe_key("debian-12") != root.recipe_key("debian-13")


def test_put_keeps_the_rights_of_directories(tmp_path: Path) -> None:
    top, lower, upper = tmp_path / "top", tmp_path / "lower", tmp_path / "upper"
    (lower / "root" / ".ssh").mkdir(parents=True)
    (lower / "root").chmod(0o700)
    (top / "root").mkdir(mode=0o700, parents=True)
    upper.mkdir()
    root.put((top, lower), upper, "/root/.ssh/key", "text", 0o600)
    assert (upper / "root").stat().st_mode & 0o777 == 0o700
    assert (upper / "root/.ssh/key").stat().st_mode & 0o777 == 0o600


def test_a_removed_lock_file_is_taken_anew(tmp_path: Path) -> None:
    path = tmp_path / "x.lock"
    with tools.locked(path, remove=True):
        assert path.exists()
    assert not path.exists()
    with tools.locked(path):
        assert path.exists()


def test_a_failing_command_tells_its_last_words() -> None:
    with pytest.raises(BoxError, match="exited with 3") as caught:
        tools.run("sh", "-c", "seq 20; exit 3")
    assert caught.value.detail.splitlines() == [str(n) for n in range(11, 21)]


def test_root_file_systems_can_be_kept_elsewhere(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.delenv("MLOPS_BOX_CACHE", raising=False)
    assert root.cache() == Path("/var/cache/mlops-box")
    monkeypatch.setenv("MLOPS_BOX_CACHE", str(tmp_path))
    kept = tmp_path / f"debian-12-{root.recipe_key('debian-12')}-{time.strftime('%Y%m%d%H%M%S')}"
    kept.mkdir()
    assert root.rootfs("debian-12", set(), print) == kept


@pytest.mark.parametrize("text", ['{"name": "a"', '{"of": "another version"}', "[]"])
def test_a_record_that_cannot_be_read_is_told_with_its_folder(tmp_path, monkeypatch, text):
    monkeypatch.setattr(state, "STATE", tmp_path)
    (tmp_path / "a").mkdir()
    (tmp_path / "a/box.json").write_text(text)
    with pytest.raises(BoxError) as caught:
        state.records()
    assert "the record of the box a cannot be read" in caught.value.message
    assert str(tmp_path / "a") in caught.value.fix
    assert state.load("b") is None
