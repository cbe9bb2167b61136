"""Output of codebuild.setup: the changes as a table, the policies as JSON."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from lamina.codebuild.project import ProjectChange, shown_policy
from lamina.json_data import JsonDocument, JsonTable
from lamina.report.console import Screen


def show_setup(screen: Screen, changes: Iterable[ProjectChange], policies: Mapping[str, JsonTable]) -> None:
    """Print the changes with current and new values, then the policies."""
    rows = [(each.what, each.setting, each.before or "", each.after) for each in changes]
    if rows:
        screen.rows(("what", "setting", "as is", "to be"), rows, wide="to be")
    screen.say(f"{len(rows)} to change" if rows else "nothing to change")
    for name, policy in policies.items():
        screen.say(f"policy {name}:")
        screen.say(shown_policy(policy))


def setup_documents(changes: Iterable[ProjectChange]) -> list[JsonDocument]:
    """Return the changes for JSON output. before: null without a current value."""
    return [
        {"what": each.what, "setting": each.setting, "before": each.before, "after": each.after}
        for each in changes
    ]
