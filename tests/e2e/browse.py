"""Runs on the server: a browser logs in, walks the UI, and tells what its console says.

Reads {"url", "user", "password", "pages": [[path, text that it must show], ...]} from standard
input, and prints {"shown": [...], "missing": {path: text there}, "console": [...]}. Speaks to
chromedriver by its own protocol, so that nothing but Debian's chromium is needed.
"""

import json
import subprocess
import sys
import time
import urllib.error
import urllib.request

FLAGS = (
    "--headless=new", "--no-sandbox", "--disable-gpu", "--ignore-certificate-errors", "--lang=en",
    "--disable-background-networking", "--disable-dev-shm-usage", "--no-proxy-server",
    "--no-first-run", "--window-size=1600,1000",
)  # fmt: skip
PORT = 9515
PATIENCE = 60
TEXT = "return document.body.innerText"
# Pages of FAB are in a frame of the same server.
FRAMES = """
return [document, ...Array.from(document.querySelectorAll('iframe'), f => f.contentDocument)]
  .filter(Boolean).map(d => d.body ? d.body.innerText : '').join(' ').replaceAll('\u00a0', ' ')
"""
CLICK = """
const all = Array.from(document.querySelectorAll('button, [role=button], a'));
const found = all.find(e => (e.innerText || e.ariaLabel || e.title || '').trim() === arguments[0]
  || e.ariaLabel === arguments[0]);
if (found) found.click();
return Boolean(found);
"""


def ask(method, path, body=None):
    data = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(f"http://127.0.0.1:{PORT}{path}", data, method=method)
    with urllib.request.urlopen(request, timeout=180) as answer:
        return json.load(answer)["value"]


class Browser:
    def __init__(self):
        options = {"binary": "/usr/bin/chromium", "args": list(FLAGS)}
        wanted = {
            "browserName": "chrome",
            "acceptInsecureCerts": True,
            "goog:chromeOptions": options,
            "goog:loggingPrefs": {"browser": "ALL"},
        }
        made = ask("POST", "/session", {"capabilities": {"alwaysMatch": wanted}})
        self.at = f"/session/{made['sessionId']}"

    def go(self, url):
        ask("POST", f"{self.at}/url", {"url": url})

    def run(self, script, *args):
        return ask("POST", f"{self.at}/execute/sync", {"script": script, "args": list(args)})

    def wait(self, script, wanted, *args):
        """Until a script says so, or what it said at last."""
        deadline = time.monotonic() + PATIENCE
        while True:
            found = self.run(script, *args)
            if wanted(found) or time.monotonic() > deadline:
                return found
            time.sleep(0.5)

    def console(self):
        return [entry["message"] for entry in ask("POST", f"{self.at}/se/log", {"type": "browser"})]


def log_in(browser, wanted):
    browser.go(f"{wanted['url']}/auth/login/")
    browser.run(
        "document.querySelector('[name=username]').value = arguments[0];"
        "document.querySelector('[name=password]').value = arguments[1];"
        "document.querySelector('input[type=submit]').click()",
        wanted["user"], wanted["password"],
    )  # fmt: skip
    browser.wait("return location.pathname", lambda path: "/auth/" not in path)


def walk(browser, wanted, found):
    for path, text, *clicks in wanted["pages"]:
        if path.endswith("?graph"):
            browser.run("localStorage.setItem('default_dag_view', '\"graph\"')")
        browser.go(wanted["url"] + path)
        for click in clicks:
            time.sleep(2)  # what a click opened comes in by degrees
            if not browser.wait(CLICK, bool, click):
                found["missing"][f"{path} {click}"] = browser.run(TEXT)[-500:]
        said = browser.wait(FRAMES, lambda said: text in said)  # noqa: B023 - called at once
        if text in said:
            found["shown"].append(path)
        else:
            found["missing"][path] = said[-500:]


def main():
    wanted, found = json.load(sys.stdin), {"shown": [], "missing": {}, "console": []}
    driver = subprocess.Popen(["/usr/bin/chromedriver", f"--port={PORT}"],
                              stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)  # fmt: skip
    try:
        for _ in range(100):
            try:
                ask("GET", "/status")
                break
            except OSError:
                time.sleep(0.2)
        browser = Browser()
        log_in(browser, wanted)
        walk(browser, wanted, found)
        found["console"] = browser.console()
    except urllib.error.HTTPError as error:
        found["error"] = error.read().decode(errors="replace")[:1000]
    finally:
        driver.terminate()
    print(json.dumps(found))


main()
