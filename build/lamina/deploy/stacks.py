"""What all declared stacks run, side by side."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from lamina.deploy.check import require_registry
from lamina.deploy.reached import Reached, read_reached
from lamina.errors import LaminaError
from lamina.execute.image_store import RegistryStore
from lamina.flow.session import Session
from lamina.identify.fingerprint import content_tag
from lamina.refs import Reference


@dataclass(frozen=True, slots=True, kw_only=True)
class StackRuns:
    """What the functions of a stack run.

    Attributes:
        tags: digest -> content tag, as far as the registry knows it.
        error: why it could not be read; `rows` is then empty.
    """

    stack: str
    rows: tuple[Reached, ...] = ()
    tags: Mapping[str, str] | None = None
    error: LaminaError | None = None

    def names(self, image: str) -> Mapping[str, Sequence[Reached]]:
        """Return what an image's functions run: content tag, or digest, -> the versions that get calls."""
        found: dict[str, list[Reached]] = {}
        for each in self.rows:
            if each.image == image:
                digest = each.live.digest or "no image"
                found.setdefault((self.tags or {}).get(digest, digest[:19]), []).append(each)
        return found


def read_stacks(session: Session) -> tuple[StackRuns, ...]:
    """Return what each declared stack and the selected one run. A stack that fails has its error."""
    names = dict.fromkeys((*session.project.stacks, session.project.stack.name))
    return tuple(_read(session.of_stack(name), name) for name in names)


def _read(session: Session, stack: str) -> StackRuns:
    try:
        require_registry(session, hint='registry = "ecr" in [tool.lamina]')
        rows = read_reached(session)
        return StackRuns(stack=stack, rows=rows, tags=_tags(session, rows))
    except LaminaError as error:
        return StackRuns(stack=stack, error=error)


def _tags(session: Session, rows: Iterable[Reached]) -> Mapping[str, str]:
    refs = {
        Reference.parse(session.prefix + session.project.repository(each.image)).with_digest(each.live.digest)
        for each in rows
        if each.live.digest
    }
    found = RegistryStore(session.registry).find(refs)
    return {each.digest: content_tag(each.fingerprint) for each in found.values() if each.fingerprint}


def differ(stacks: Sequence[StackRuns]) -> tuple[str, ...]:
    """Return the images of which the stacks do not run the same."""
    images = dict.fromkeys(row.image for each in stacks for row in each.rows)
    return tuple(image for image in images if len({tuple(each.names(image)) for each in stacks}) != 1)
