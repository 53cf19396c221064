"""Attacks on logins, names and pages, each carried out as on a server that has no walls there.

On the commit before, all guesses were looked at (40 of 40), every name was served, and the pages
that are shut here were open. The guesses come from the box's own address; who shall still get in
comes from outside.
"""

import base64
import http.client
import json
import re
import secrets
import ssl
import time
import urllib.parse
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from probe import Probe
from server import Server, wait_for

pytestmark = [pytest.mark.box, pytest.mark.slow, pytest.mark.parametrize("system", ["debian-12"])]
FREE, AT_ONCE = 5, 2
"""Wrong passwords without a pause, and how many are checked at a time."""
POST = "curl -ks -m 60 -o /dev/null -w '%{http_code}\\n'"


@dataclass
class Answer:
    status: int
    headers: http.client.HTTPMessage
    body: str


@dataclass
class Browser:
    """HTTPS to the box with cookies, whatever the request says of names."""

    server: Server
    cookies: dict[str, str] = field(default_factory=dict)

    def ask(
        self, path: str, method: str = "GET", body: str | None = None, **headers: str
    ) -> Answer:
        trust = ssl.create_default_context()
        trust.check_hostname, trust.verify_mode = False, ssl.CERT_NONE
        client = http.client.HTTPSConnection(self.server.box.address, timeout=60, context=trust)
        said = {name.replace("_", "-"): value for name, value in headers.items()}
        said |= {"Cookie": "; ".join(f"{k}={v}" for k, v in self.cookies.items())}
        client.request(method, path, body, said)
        answer = client.getresponse()
        for cookie in answer.headers.get_all("Set-Cookie") or ():
            name, _, value = cookie.partition(";")[0].partition("=")
            self.cookies[name] = value
        found = Answer(answer.status, answer.headers, answer.read().decode(errors="replace"))
        client.close()
        return found

    def log_in(self, user: str, password: str) -> "Browser":
        """By the form, as people do; FAB takes five of these from an address in 40 seconds."""
        wait_for(lambda: self._form(user, password).status != 429, "the login page", 90, 5)
        self.ask("/auth/")
        assert "_token" in self.cookies
        return self

    def _form(self, user: str, password: str) -> Answer:
        page = self.ask("/auth/login/").body
        csrf = re.search(r'name="csrf_token"[^>]*value="([^"]+)"', page)
        form = {"csrf_token": csrf[1], "username": user, "password": password}
        done = self.ask(
            "/auth/login/", "POST", urllib.parse.urlencode(form),
            Content_Type="application/x-www-form-urlencoded",
            Referer=f"https://{self.server.box.address}/auth/login/",
        )  # fmt: skip
        assert done.status in (302, 429), done.body[:500]
        return done


def token(server: Server, user: str, password: str) -> Answer:
    body = json.dumps({"username": user, "password": password})
    return Browser(server).ask("/auth/token", "POST", body, Content_Type="application/json")


def claims(token: str) -> dict:
    part = token.split(".")[1]
    return json.loads(base64.urlsafe_b64decode(part + "=" * (-len(part) % 4)))


@pytest.fixture
def person(provisioned: Server, uncounted: None) -> tuple[str, str]:
    """Somebody with a password."""
    name, password = f"p{secrets.token_hex(4)}", secrets.token_hex(8)
    make(provisioned, name, password)
    return name, password


@pytest.fixture
def uncounted(provisioned: Server) -> None:
    """As after an hour of peace: no test pays for the guesses of another one."""
    provisioned.ssh("rm -f /run/airflow-api-server-*/attempts.sqlite")


def make(server: Server, name: str, password: str) -> None:
    body = {
        "username": name, "password": password, "email": f"{name}@localhost",
        "first_name": name, "last_name": name, "roles": [{"name": "Op"}],
    }  # fmt: skip
    server.api("POST", "/auth/fab/v1/users", body)


def guess(server: Server, names: list[str], parallel: int = 1, past: str = "") -> list[str]:
    """The codes of wrong passwords, from the box's own address or `past` nginx at a socket."""
    at = server.box.address
    url = f"--unix-socket {past} http://localhost" if past else f"--interface {at} https://{at}"
    return server.ssh(
        f"for name in {' '.join(names)}; do echo $name; done | xargs -P {parallel} -I NAME {POST}"
        " -H 'Content-Type: application/json'"
        f""" -d '{{"username": "NAME", "password": "wrong"}}' {url}/auth/token"""
    ).split()


def guess_by_form(server: Server, name: str, times: int) -> list[str]:
    """The same by the login page; it sends back who was wrong (302)."""
    return server.ssh(
        f"jar=$(mktemp); page=https://{server.box.address}/auth/login/\n"
        "csrf=$(curl -ks -c $jar $page | grep -o 'name=\"csrf_token\"[^>]*' |"
        " sed 's/.*value=\"//; s/\".*//')\n"
        f"for i in $(seq {times}); do {POST} -b $jar -e $page -d username={name}"
        ' --data-urlencode "csrf_token=$csrf" -d password=wrong $page; done'
    ).split()


# --- logins -------------------------------------------------------------------------------


def test_guesses_at_a_name_are_refused_and_the_right_password_gets_in_from_elsewhere(
    provisioned, person
):
    name, password = person
    codes = guess(provisioned, [name] * 30)
    print(f"\n{codes}")
    assert codes[:FREE] == ["401"] * FREE
    assert codes.count("401") <= FREE + 4
    assert codes.count("429") == 30 - codes.count("401")
    assert token(provisioned, name, password).status == 201
    by_form = guess_by_form(provisioned, name, 3)
    assert by_form.count("429") >= 2, "both doors count together"


def test_guesses_by_the_form_are_refused(provisioned, person):
    name, password = person
    codes = guess_by_form(provisioned, name, 25)
    print(f"\n{codes}")
    assert 1 <= codes.count("302") <= FREE + 4
    assert codes.count("429") == 25 - codes.count("302")
    assert token(provisioned, name, password).status == 201
    Browser(provisioned).log_in(name, password)


def test_guesses_side_by_side_and_past_nginx_get_no_further(provisioned, person):
    """nginx's own limits take no part: root asks the API server itself, whose workers count."""
    name, password = person
    past = f"/run/{provisioned.api_server.removesuffix('.service').replace('@', '-')}/http"
    with Probe(provisioned) as probe:
        codes = guess(provisioned, [name] * 300, 20, past)
    print(f"\n{sorted(codes)}")
    assert FREE <= codes.count("401") <= FREE + AT_ONCE
    assert codes.count("429") == 300 - codes.count("401")
    probe.assert_unnoticed()
    assert token(provisioned, name, password).status == 201


def test_an_address_that_tries_many_names_is_refused(provisioned, person):
    names = [f"n{secrets.token_hex(4)}" for _ in range(40)]
    codes = guess(provisioned, names)
    print(f"\n{codes}")
    assert codes.count("401") <= 20 + 4
    assert codes[-5:].count("429") >= 4
    assert token(provisioned, *person).status == 201


def test_a_flood_from_one_address_is_slowed_before_airflow_sees_it(provisioned, uncounted):
    begin = time.monotonic()
    codes = guess(provisioned, [f"n{secrets.token_hex(4)}" for _ in range(40)], 20)
    assert codes.count("429") >= 20, codes
    assert time.monotonic() - begin < 60


@pytest.mark.parametrize(
    "path", ["login", "login/", "refresh", "../security/login", "%6cogin", "/login", "./login?x"]
)
def test_the_door_of_the_framework_is_shut(provisioned, path):
    """It was open before, for tokens of 30 days."""
    password = provisioned.ssh("cat /etc/mlops/secrets/admin_password")
    body = {"username": "admin", "password": password, "provider": "db", "refresh": True}
    found = Browser(provisioned).ask(
        f"/auth/api/v1/security/{path}", "POST", json.dumps(body), Content_Type="application/json"
    )
    assert found.status == 404
    assert "token" not in found.body


def test_who_only_looks_at_the_login_page_is_not_slowed(provisioned):
    browser = Browser(provisioned)
    assert [browser.ask("/auth/login/").status for _ in range(40)] == [200] * 40


# --- tokens and sessions ------------------------------------------------------------------


def test_tokens_end_within_an_hour_and_sessions_within_a_day(provisioned, person):
    made = claims(json.loads(token(provisioned, *person).body)["access_token"])
    assert made["exp"] - made["iat"] <= 3600
    browser = Browser(provisioned).log_in(*person)
    mine = claims(browser.cookies["_token"])
    assert mine["exp"] - mine["iat"] <= 3600
    id_ = browser.cookies["session"].partition(".")[0]
    left = provisioned.sql(
        "select extract(epoch from expiry at time zone 'utc' - now()) from session"
        f" where session_id like '%{id_}%'"
    )
    assert 80000 < float(left) <= 86400


def test_tokens_and_sessions_end_with_the_password(provisioned, person):
    name, password = person
    old = json.loads(token(provisioned, name, password).body)["access_token"]
    browser = Browser(provisioned).log_in(name, password)

    def good(token: str) -> bool:
        said = Browser(provisioned).ask("/ui/auth/menus", Authorization=f"Bearer {token}")
        return said.status == 200

    assert good(old)
    assert browser.ask("/ui/auth/menus").status == 200
    provisioned.ssh(f"airflow users reset-password -u {name} -p other-{password}")
    wait_for(lambda: not any(good(old) for _ in range(4)), "the end of the token", 20)
    new = json.loads(token(provisioned, name, f"other-{password}").body)["access_token"]
    assert all(good(new) for _ in range(8)), "no worker goes by the old password"
    assert not any(good(old) for _ in range(8))
    assert browser.ask("/ui/auth/menus").status in (401, 403)
    assert 'name="password"' in browser.ask("/auth/login/").body, "its session has ended too"


SIGN = """\
/opt/mlops/airflow/current/bin/python - <<'END'
import json, jwt
secret = open('/etc/mlops/secrets/jwt_secret').read().strip()
print(jwt.encode(json.loads('''{claims}'''), secret, 'HS512'))
END
"""


@pytest.mark.parametrize(
    ("age", "left", "renewed"), [(3000, 600, True), (60, 3540, False), (13 * 3600, 600, False)]
)
def test_the_ui_s_token_is_renewed_while_somebody_works(provisioned, person, age, left, renewed):
    browser = Browser(provisioned).log_in(*person)
    now = int(time.time())
    aged = claims(browser.cookies["_token"]) | {
        "mlops_since": now - age, "iat": now - 3000, "nbf": now - 3000, "exp": now + left,
    }  # fmt: skip
    browser.cookies["_token"] = signed = provisioned.ssh(SIGN.format(claims=json.dumps(aged)))
    assert browser.ask("/ui/auth/menus").status == 200
    assert (browser.cookies["_token"] != signed) == renewed
    if renewed:
        new = claims(browser.cookies["_token"])
        assert new["exp"] > now + 3000
        assert new["mlops_since"] == now - age, "which does not make the day longer"


def test_a_program_s_token_is_not_renewed_as_a_cookie(provisioned, person):
    made = claims(json.loads(token(provisioned, *person).body)["access_token"])
    now = int(time.time())
    signed = provisioned.ssh(SIGN.format(claims=json.dumps(made | {"exp": now + 600})))
    browser = Browser(provisioned, {"_token": signed})
    assert browser.ask("/ui/auth/menus").status == 200
    assert browser.cookies["_token"] == signed


# --- names --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "name",
    ["evil.example", "{address}.evil.example", "evil.{address}", "127.0.0.2", "[::2]",
     "evil.example:443", "a|{address}", ""],
)  # fmt: skip
def test_other_names_are_refused(provisioned, name):
    host = name.format(address=provisioned.box.address)
    for path in ("/", "/auth/login/", "/api/v2/version", "/models/x/predict", "/execution/health"):
        assert Browser(provisioned).ask(path, Host=host).status in (400, 421), path


def test_its_own_names_are_served(provisioned):
    at = provisioned.box.address
    for name in (
        provisioned.address,
        at,
        f"{at}:443",
        "localhost",
        "localhost:8443",
        "localhost.",
        "127.0.0.1",
    ):
        found = Browser(provisioned).ask("/api/v2/version", Host=name)
        assert found.status == 200, name


def test_a_line_that_names_the_server_does_not_carry_another_name_in(provisioned):
    url = f"https://{provisioned.box.address}/auth/login/"
    page = Browser(provisioned).ask(url, Host="evil.example")
    assert page.status == 200
    assert "evil" not in page.body + str(page.headers)


@pytest.mark.parametrize(
    "header",
    ["X-Forwarded-Prefix", "X-Forwarded-Host", "X-Forwarded-Proto", "X-Forwarded-Port",
     "X-Forwarded-Server", "Forwarded", "X-Script-Name", "X-Original-URL", "X-Rewrite-URL",
     "X-Forwarded-Scheme", "X-Host"],
)  # fmt: skip
def test_what_clients_say_of_proxies_is_dropped(provisioned, header):
    said = {header: "host=evil.example" if header == "Forwarded" else "/evil.example"}
    for path in ("/auth/login/", "/", "/auth/logout", "/api/v2/auth/login"):
        found = Browser(provisioned).ask(path, **said)
        assert "evil" not in found.body + str(found.headers), path
        assert found.status in (200, 302, 307)


def test_a_forged_address_makes_no_guesses_free(provisioned, person):
    name, password = person
    script = f"""
    for i in $(seq 12); do {POST} -H "X-Forwarded-For: 203.0.113.$i" -H "X-Real-IP: 203.0.113.$i" \
      -H 'Content-Type: application/json' -d '{{"username": "{name}", "password": "wrong"}}' \
      https://127.0.0.1/auth/token; done
    """
    codes = provisioned.ssh(script).split()
    assert codes.count("401") <= FREE + 2, codes
    assert token(provisioned, name, password).status == 201


def test_further_names_of_the_config_are_served(provisioned):
    text = provisioned.config.read_text()
    provisioned.config.write_text(text + '\n[proxy]\nfurther_names = ["ml.internal", "ml"]\n')
    try:
        provisioned.apply()
        for name, status in (("ml.internal", 200), ("ML", 200), ("mlx", 421), ("x.ml", 421)):
            assert Browser(provisioned).ask("/api/v2/version", Host=name).status == status, name
        plan = provisioned.cli("plan")
        assert plan.returncode == 0, plan.end
    finally:
        provisioned.config.write_text(text)
        provisioned.apply()
    assert Browser(provisioned).ask("/api/v2/version", Host="ml").status == 421


# --- pages --------------------------------------------------------------------------------

REFERENCE = ("/docs", "/redoc", "/openapi.json", "/auth/docs", "/auth/redoc", "/auth/openapi.json",
             "//docs", "/%64ocs", "/x/../docs", "/docs?x", "/openapi%2ejson",
             "/auth/%6fpenapi.json", "/./openapi.json")  # fmt: skip


@pytest.mark.parametrize("path", REFERENCE)
def test_the_reference_of_the_api_needs_a_login(provisioned, path):
    for browser in (Browser(provisioned), Browser(provisioned, {"_token": "x.y.z"})):
        found = browser.ask(path)
        assert found.status in (401, 403)
        assert "swagger" not in found.body
        assert "paths" not in found.body


def test_the_reference_is_there_for_who_is_logged_in(provisioned, person):
    browser = Browser(provisioned).log_in(*person)
    assert "swagger" in browser.ask("/docs").body
    assert "redoc" in browser.ask("/redoc").body
    assert "/api/v2/dags" in json.loads(browser.ask("/openapi.json").body)["paths"]
    assert "paths" in json.loads(browser.ask("/auth/openapi.json").body)


@pytest.mark.parametrize(
    "path", ["/", "/dags", "/auth/login/", "/api/v2/version", "/nothing", "/execution/x", "/docs",
             "/static/pin_32.png", "/models/x/predict", "/auth/token"],
)  # fmt: skip
def test_every_answer_tells_browsers_how_little_it_needs(provisioned, path):
    told = Browser(provisioned).ask(path).headers
    assert len(told.get_all("Content-Security-Policy")) == 1
    policy = parts(told["Content-Security-Policy"])
    assert policy["default-src"] == ["'none'"]
    assert policy["frame-ancestors"] == ["'self'"]
    assert told["X-Content-Type-Options"] == "nosniff"
    assert told["X-Frame-Options"] == "SAMEORIGIN"
    assert told["Referrer-Policy"] == "same-origin"
    assert told["Cross-Origin-Opener-Policy"] == "same-origin"
    assert told["Server"] == "nginx"


def parts(policy: str) -> dict[str, list[str]]:
    rules = (rule.split() for rule in policy.split(";"))
    return {name: values for name, *values in rules}


def test_the_ui_s_page_loads_what_its_policy_allows_and_has_no_script_in_it(provisioned):
    page = Browser(provisioned).ask("/")
    policy = parts(page.headers["Content-Security-Policy"])
    assert policy["script-src"] == ["'self'", "'wasm-unsafe-eval'"]
    scripts = re.findall(r"<script([^>]*)>(.*?)</script>", page.body, re.S)
    links = re.findall(r'(?:src|href)="([^"]*)"', page.body)
    assert scripts
    assert all("src=" in words and not text.strip() for words, text in scripts)
    assert not [link for link in links if "//" in link]
    assert not re.search(r"\son\w+=", page.body)
    for link in links:
        if link.startswith("./static"):
            assert Browser(provisioned).ask(link.removeprefix(".")).status == 200


CHROMIUM = """\
command -v chromedriver >/dev/null || {
  apt-get -q update
  DEBIAN_FRONTEND=noninteractive apt-get -yq install --no-install-recommends \
    chromium chromium-driver
}
"""


@pytest.fixture
def chromium(provisioned: Server) -> None:
    """Debian's browser in the box."""
    provisioned.ssh(CHROMIUM)


def test_a_browser_walks_the_ui_and_its_policy_is_in_nobody_s_way(provisioned, chromium):
    """What the policy forbids is in the console; the walk shows what people use."""
    run = provisioned.api(
        "POST", "/api/v2/dags/mlops_canary/dagRuns", {"logical_date": None, "conf": {"token": "x"}}
    )["dag_run_id"]
    dag = "/dags/mlops_canary"
    state = f"/api/v2{dag}/dagRuns/{run}"
    wait_for(lambda: provisioned.api("GET", state)["state"] == "success", "the canary", 120)
    wanted = {
        "url": f"https://{provisioned.address}",
        "user": "admin",
        "password": provisioned.ssh("cat /etc/mlops/secrets/admin_password"),
        "pages": [
            ["/dags", "mlops_canary"],
            [dag, "chirp"],
            [f"{dag}/runs/{run}/tasks/chirp", "Returned value was: {'token': 'x'"],
            [f"{dag}/code", "def chirp"],
            [dag, "Trigger Dag - mlops_canary", "Trigger"],
            ["/connections", "Connection"],
            ["/variables", "Variable"],
            ["/security/users", "mlops-verify"],
            ["/auth/users/list/", "mlops-verify"],
            [f"{dag}?graph", "chirp"],
        ],
    }
    script = (Path(__file__).parent / "browse.py").read_text()
    provisioned.ssh(f"cat > /tmp/browse.py <<'END'\n{script}\nEND")
    # By the name in the URL, which is that of the first box in a copy.
    there = f"ip addr add {provisioned.address}/32 dev lo 2>/dev/null || true"
    said = provisioned.ssh(f"{there}\npython3 /tmp/browse.py <<'END'\n{json.dumps(wanted)}\nEND")
    found = json.loads(said)
    print(f"\n{json.dumps(found, indent=1)}")
    assert "error" not in found, found["error"]
    assert not [line for line in found["console"] if "Content Security Policy" in line]
    assert not found["missing"]
