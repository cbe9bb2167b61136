"""What the calls of a stack's functions reach: the versions behind their aliases, or ``$LATEST``."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from lamina.aws.lambda_ import Functions
from lamina.aws.live import LATEST, Live
from lamina.declare.functions import Function
from lamina.deploy.asking import ask_all
from lamina.deploy.cloudformation import named_functions
from lamina.deploy.stack import check_caller, clients_of
from lamina.errors import AwsError, Problem, SelectionError, meant
from lamina.flow.session import Session


@dataclass(frozen=True, slots=True, kw_only=True)
class Reached:
    """A version that gets calls. place: ``live``, or ``$LATEST`` of a function without aliases."""

    image: str
    function: Function
    place: str
    live: Live


def declared_functions(session: Session) -> Mapping[str, tuple[Function, ...]]:
    """Return the functions of the selected images, by image; see `named_functions`.

    Raises:
        SelectionError: an image is unknown, or none declares a function.
        AwsError: the credentials are of another account than the stack.
    """
    images, asked = session.project.images, session.flags.images
    unknown = [name for name in asked if name not in images]
    SelectionError.check(Problem(what=f"there is no image {name!r}{meant(name, images)}") for name in unknown)
    chosen = {
        name: spec.functions
        for name, spec in images.items()
        if spec.functions and (not asked or name in asked)
    }
    if not chosen:
        raise SelectionError.of(
            f"no function is declared for {', '.join(asked) or 'any image'}",
            hint='declare them: functions = ["<function>"] in [tool.lamina.images.<name>]',
        )
    check_caller(session)
    return named_functions(session, chosen)


def read_reached(session: Session) -> tuple[Reached, ...]:
    """Return the versions that get calls, of the selected images. A stack's alias stands for all of them.

    Raises AwsError for functions that do not exist, all of them at once.
    """
    named = declared_functions(session)
    declared = [(image, each) for image, some in named.items() for each in some]
    clients = clients_of(session, (each for _, each in declared))
    alias = session.project.stack.alias
    answers = ask_all(lambda each: _read(clients[each[1].region], *each, alias), declared)
    AwsError.check(each for each in answers if isinstance(each, Problem))
    return tuple(row for each in answers if not isinstance(each, Problem) for row in each)


def _read(
    client: Functions, image: str, function: Function, alias: str | None
) -> tuple[Reached, ...] | Problem:
    name = str(function)
    latest = client.read(name)
    if latest is None:
        return Problem(what=f"there is no function {name}", where=image)
    aliases = client.aliases(name)
    chosen = [aliases[alias]] if alias and alias in aliases else list(aliases.values())
    places = [(each.name, version) for each in chosen for version in (each.version, *each.routes)]
    found = ((place, client.read(name, version)) for place, version in places or [(LATEST, LATEST)])
    return tuple(
        Reached(image=image, function=function, place=place, live=live)
        for place, live in found
        if live is not None
    )


def by_image(rows: Iterable[Reached]) -> Mapping[str, list[Reached]]:
    """Return the versions that get calls by image, in order."""
    found: dict[str, list[Reached]] = {}
    for each in rows:
        found.setdefault(each.image, []).append(each)
    return found
