"""What `mlops workflows status` says."""

from typing import Any

from mlops_server.layout import Layout
from mlops_server.workflows import keys
from mlops_server.workflows.config import Config
from mlops_server.workflows.state import current, load, metadata


def facts(layout: Layout, config: Config) -> dict[str, Any]:
    """Repository, active commit, candidate, rejected ones, hold and key, for JSON."""
    state = load(layout)
    active = current(layout)
    at = next((e["at"] for e in reversed(state.history) if e["commit"] == state.active), None)
    candidate = state.candidate
    return {
        "repository": config.repository,
        "ref": config.ref,
        "active": active | {"at": at} if active else None,
        "candidate": metadata(layout.releases / candidate[:12]) if candidate else None,
        "checked": candidate is not None and state.checked == candidate,
        "seen": state.seen,
        "held": state.held,
        "rejected": [{"commit": c, **about} for c, about in reversed(state.rejected.items())],
        "back": [commit for commit in state.before() if (layout.releases / commit[:12]).is_dir()],
        "key": keys.public(layout),
    }


def page(found: dict[str, Any]) -> list[str]:
    """The same for people; the rejected commits last, the latest of them at the top."""
    lines = [f"repository  {found['repository'] or 'none'}", f"ref         {found['ref']}"]
    for name in ("active", "candidate"):
        about = found[name]
        text = f"{about.get('commit', '')[:12]} {about.get('subject', '')}" if about else "none"
        lines.append(f"{name:<12}{text}")
    if found["held"]:
        lines.append(f"held        {found['held'][:12]}: `mlops workflows release` ends that")
    if found["back"]:
        lines.append(f"rollback to {', '.join(commit[:12] for commit in found['back'])}")
    if found["key"]:
        lines.append(f"key         {found['key']}")
    for one in found["rejected"]:
        tip = " which is the newest" if one["commit"] == found["seen"] else ""
        lines.append(
            f"rejected    {one['commit'][:12]}{tip} {one['at']} ({one['step']}) {one['reason']}"
        )
    return lines
