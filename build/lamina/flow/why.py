"""Explain why an image changed: compare two of its states, down to the changed file."""

from __future__ import annotations

from dataclasses import dataclass

from lamina.flow.session import Session
from lamina.flow.states import State, find_state
from lamina.identify.explain import InputChange, differences
from lamina.report.record import kept_platforms


@dataclass(frozen=True, slots=True, kw_only=True)
class Why:
    """The differences of one image. depth: 0 for the requested image, 1 for its bases, and so on."""

    image: str
    depth: int
    changes: tuple[InputChange, ...]


def explain(session: Session, image: str, before: str, after: str) -> tuple[Why, ...]:
    """Compare two states of an image; see `find_state` for what a state may be.

    Raises SelectionError for an unknown image, ConfigError for an unknown state, RegistryError.
    """
    session.graph.select((image,))
    old, new = find_state(session, before, image), find_state(session, after, image)
    return tuple(_walk(session, image, old, new))


def _other_platforms(session: Session, image: str) -> str:
    """Return for which platform an image was looked for if others were built; empty if none was."""
    platform = session.graph.nodes[image].spec.platform if image in session.graph.nodes else ""
    others = [each for each in kept_platforms(session.project.state, image) if each != platform]
    return f" for {platform}; built here for {', '.join(others)}" if others and platform else ""


def _walk(session: Session, root: str, before: State, after: State) -> list[Why]:
    found: list[Why] = []
    waiting: list[tuple[str, int, str | None, str | None]] = [(root, 0, None, None)]
    seen = {root}
    while waiting:
        name, depth, old_key, new_key = waiting.pop(0)
        old, new = before(name, old_key), after(name, new_key)
        if old is None or new is None:
            side = f"before{_other_platforms(session, name)}" if old is None else "after"
            text = f"nothing is known of it {side}"
            unknown = InputChange(kind="unknown", subject=name, text=text)
            found.append(Why(image=name, depth=depth, changes=(unknown,)))
            continue
        known = session.graph.nodes.get(name)
        folder = known.spec.context_path if known else ""
        changes = differences(old.inputs, new.inputs, new.ignores, folder=folder)
        found.append(Why(image=name, depth=depth, changes=changes))
        for each in changes:
            on_both_sides = each.kind == "parent" and each.before is not None and each.after is not None
            if on_both_sides and each.subject in session.graph.nodes and each.subject not in seen:
                seen.add(each.subject)
                waiting.append((each.subject, depth + 1, each.before, each.after))
    return found
