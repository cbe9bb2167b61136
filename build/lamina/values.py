"""`dataclasses.dataclass`, which makes frozen values in less than half of the time.

A plan defines sixty classes of values. The standard decorator compiles six functions for each of them, which
was a third of all that a plan of a small project took. Here only ``__init__`` is compiled, when the first
value is made. Not for classes that others of its kind inherit from.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterable, Iterator
from operator import attrgetter
from typing import TYPE_CHECKING, NoReturn, cast

if TYPE_CHECKING:
    from dataclasses import dataclass as dataclass
    from types import FunctionType

    from _typeshed import DataclassInstance
else:

    def dataclass(*, frozen: bool = False, slots: bool = False, kw_only: bool = False):
        """Make a class one of values; see `dataclasses.dataclass`."""
        if not frozen:
            return dataclasses.dataclass(slots=slots, kw_only=kw_only)
        plain = dataclasses.dataclass(init=False, repr=False, eq=False, slots=slots, kw_only=kw_only)

        def make(cls):
            cls.__doc__ = cls.__doc__ or cls.__name__  # instead of a signature, which takes long to find out
            made = plain(cls)
            for name, method in _methods(made, slots=slots):
                if cls.__dict__.get(name) is None:
                    setattr(made, name, method)
            return made

        return make


_Method = Callable[..., object]
_set = object.__setattr__
_UNSET = object()


def _methods(cls: type[DataclassInstance], *, slots: bool) -> Iterator[tuple[str, _Method]]:
    fields = dataclasses.fields(cls)
    compared = [each.name for each in fields if each.compare]
    values: Callable[[object], object] = attrgetter(*compared) if compared else type

    def equal(self: object, other: object) -> bool:
        return values(self) == values(other) if other.__class__ is self.__class__ else NotImplemented

    def digest(self: object) -> int:
        return hash(values(self))

    def first(self: object, *args: object, **named: object) -> None:
        method = _initialiser(cls, fields)
        type.__setattr__(cls, "__init__", method)
        method(self, *args, **named)

    yield "__init__", first
    yield "__repr__", _shown
    yield "__eq__", equal
    yield "__hash__", digest
    yield "__setattr__", _no_change
    yield "__delattr__", _no_removal
    if slots:  # without them, copies and pickles change the instance's dictionary
        yield "__getstate__", _state
        yield "__setstate__", _restore


def _initialiser(cls: type[DataclassInstance], fields: Iterable[dataclasses.Field[object]]) -> _Method:
    known: dict[str, object] = {"_set": _set, "_UNSET": _UNSET}
    words: dict[bool, list[str]] = {False: [], True: []}
    lines: list[str] = []
    for each in fields:
        name = value = each.name
        default = ""
        if each.default_factory is not dataclasses.MISSING:
            known[f"_make_{name}"] = each.default_factory
            value = f"_make_{name}() if {name} is _UNSET else {name}" if each.init else f"_make_{name}()"
            default = "=_UNSET"
        elif each.default is not dataclasses.MISSING:
            known[f"_default_{name}"] = each.default
            default = f"=_default_{name}"
        if each.init:
            words[bool(each.kw_only)].append(f"{name}{default}")
        if each.init or default == "=_UNSET":
            lines.append(f" _set(self,{name!r},{value})")
    if hasattr(cls, "__post_init__"):
        lines.append(" self.__post_init__()")
    given = ["self", *words[False], *(["*", *words[True]] if words[True] else [])]
    exec(f"def __init__({','.join(given)}):\n" + "\n".join(lines or [" pass"]), known)  # noqa: S102
    made = cast("FunctionType", known["__init__"])
    made.__qualname__ = f"{cls.__qualname__}.__init__"
    return made


def _shown(self: DataclassInstance) -> str:
    parts = (f"{each.name}={getattr(self, each.name)!r}" for each in dataclasses.fields(self) if each.repr)
    return f"{type(self).__qualname__}({', '.join(parts)})"


def _no_change(_self: object, name: str, _value: object) -> NoReturn:
    raise dataclasses.FrozenInstanceError(f"cannot assign to field {name!r}")


def _no_removal(_self: object, name: str) -> NoReturn:
    raise dataclasses.FrozenInstanceError(f"cannot delete field {name!r}")


def _state(self: DataclassInstance) -> list[object]:
    return [getattr(self, each.name) for each in dataclasses.fields(self)]


def _restore(self: DataclassInstance, state: list[object]) -> None:
    for each, value in zip(dataclasses.fields(self), state, strict=True):
        _set(self, each.name, value)
