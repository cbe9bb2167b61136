"""Ask AWS or a registry about several things at once, and report the problems of all of them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TypeVar

from lamina.aws.clients import CONNECTIONS
from lamina.deploy.rules import DesiredFunction
from lamina.errors import AwsError, LaminaError
from lamina.parallel import gather

_Item = TypeVar("_Item")
_Made = TypeVar("_Made")


def ask_all(
    ask: Callable[[_Item], _Made],
    items: Sequence[_Item],
    *,
    threads: int = CONNECTIONS,
    raises: type[LaminaError] = AwsError,
) -> list[_Made]:
    """Call ``ask`` for each item, several at once. Return the answers in order.

    Raises an error of the class ``raises`` with the problems of all items.
    """

    def asked(item: _Item) -> _Made | LaminaError:
        try:
            return ask(item)
        except raises as error:
            return error

    answers = gather(asked, items, threads=threads)
    errors = [each for each in answers if isinstance(each, LaminaError)]
    raises.check(dict.fromkeys(problem for error in errors for problem in error.problems))
    return [each for each in answers if not isinstance(each, LaminaError)]


def by_function(
    wanted: Sequence[DesiredFunction], ask: Callable[[DesiredFunction], _Made]
) -> dict[str, _Made]:
    """Call ``ask`` for each function, several at once; return the answers by function name. See `ask_all`."""
    return dict(zip((each.name for each in wanted), ask_all(ask, wanted), strict=True))
