"""Commands about what a project sets and pins: config, lock."""

from __future__ import annotations

from lamina.declare.settings import SETTINGS
from lamina.flow.session import Session
from lamina.report.document import lock_documents


def lock(session: Session, *, refresh: bool, dry_run: bool) -> int:
    """Pin external images."""
    from lamina.flow.lock import make_lock, write_lock

    found = make_lock(session, refresh=refresh, dry_run=dry_run)
    session.screen.headline(found.headline)
    session.screen.notes(found.notes)
    rows = ((move.name, str(move), ", ".join(move.rebuilds)) for move in found.moves)
    session.screen.rows(("image", "digest", "rebuilds"), rows, wide="rebuilds")
    writes = found.after != found.before and not dry_run
    if writes:
        write_lock(session, found.after)
    session.screen.say("lamina.lock is written: commit it" if writes else "lamina.lock stays as it is")
    session.screen.finish("lock", ok=True, images=lock_documents(found.moves), written=writes)
    return 0


def config(session: Session) -> int:
    """Print the settings."""
    settings = {name: session.project.settings.sourced(name) for name in SETTINGS}
    session.screen.rows(
        ("setting", "value", "source", "meaning"),
        ((name, str(value.value), value.source, SETTINGS[name].help) for name, value in settings.items()),
        wide="meaning",
    )
    nodes = session.graph.nodes.values()
    session.screen.rows(
        ("image", "kind", "Dockerfile", "based on"),
        ((node.name, node.kind, node.spec.dockerfile_path, ", ".join(node.parents)) for node in nodes),
        wide="based on",
    )
    project = session.project
    held = {each.name for each in project.secrets}
    secrets = {name: name in held for name in sorted(project.secret_names)}
    if secrets:
        rows = ((name, "yes" if found else "no") for name, found in secrets.items())
        session.screen.rows(("secret", "has a file"), rows)
    documents = [
        {"name": node.name, "kind": node.kind, "dockerfile": node.spec.dockerfile_path,
         "parents": list(node.parents)}
        for node in nodes
    ]  # fmt: skip
    values = {name: {"value": value.value, "source": value.source} for name, value in settings.items()}
    session.screen.finish("config", ok=True, images=documents, settings=values, secrets=secrets)
    return 0
