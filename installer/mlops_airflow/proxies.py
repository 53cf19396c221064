"""Airflow's parts talk to each other on this machine, whatever proxy the server names to all.

Companies set one for all services, by `DefaultEnvironment=` of systemd; the tasks' client of the
execution API obeys it, and would ask the proxy for 127.0.0.1. Standard library only: each Python of
Airflow's environment runs this when it starts.
"""

from collections.abc import MutableMapping

LOCAL = ("localhost", "127.0.0.1")
PROXIES = ("http_proxy", "https_proxy", "all_proxy")


def spare(environ: MutableMapping[str, str]) -> None:
    """Add this machine to what is reached without a proxy, where there is one."""
    if not any(environ.get(name) or environ.get(name.upper()) for name in PROXIES):
        return
    known = environ.get("no_proxy") or environ.get("NO_PROXY") or ""
    names = dict.fromkeys([*(name.strip() for name in known.split(",")), *LOCAL])
    environ["no_proxy"] = environ["NO_PROXY"] = ",".join(filter(None, names))
