"""Read YAML of infrastructure files: plain values and lines of mappings; tags such as ``!Ref`` are opaque."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache
from typing import TYPE_CHECKING

from lamina.errors import Problem

if TYPE_CHECKING:
    import yaml


class Table(dict[str, object]):
    """A mapping that knows its line."""

    line: int = 1


class Unknown:
    """A value with a tag, which is only known when deployed."""


def read_yaml(text: str, path: str) -> Table | Problem:
    """Return the document's mapping, or the problem."""
    import yaml

    try:
        found = yaml.load(text, _loader())  # noqa: S506 - a safe loader
    except yaml.MarkedYAMLError as error:
        line = error.problem_mark.line + 1 if error.problem_mark else 1
        return Problem(what=f"cannot be read as YAML: {error.problem}", where=f"{path}:{line}")
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        return Problem(what=f"cannot be read as YAML: {error}", where=path)
    return found if isinstance(found, Table) else Table()


def table(value: object) -> Table:
    """Return the value if it is a mapping, else an empty one."""
    return value if isinstance(value, Table) else Table()


def texts(value: object) -> tuple[str, ...]:
    """Return the plain strings of a list, or a single string as a tuple."""
    values = value if isinstance(value, list) else [value]
    return tuple(each for each in values if isinstance(each, str))


def text(value: object) -> str | None:
    """Return the value if it is a plain string without a variable, else None."""
    return value if isinstance(value, str) and "${" not in value else None


def strings(value: object) -> dict[str, str]:
    """Return the plain entries of a mapping, as strings."""
    return {
        str(key): str(each).lower() if isinstance(each, bool) else str(each)
        for key, each in table(value).items()
        if isinstance(each, (str, int, float, bool)) and "${" not in str(each)
    }


@cache
def _loader() -> type[yaml.SafeLoader]:
    import yaml

    class Loader(yaml.SafeLoader):
        """Plain YAML, every mapping a `Table`, every unknown tag an `Unknown`."""

    def mapping(loader: yaml.SafeLoader, node: yaml.MappingNode) -> Iterator[Table]:
        made = Table()
        made.line = node.start_mark.line + 1
        yield made
        loader.flatten_mapping(node)
        for key, value in node.value:
            name = loader.construct_object(key, deep=True)
            made[str(name)] = loader.construct_object(value, deep=True)

    Loader.add_constructor("tag:yaml.org,2002:map", mapping)
    Loader.add_multi_constructor("!", lambda *_: Unknown())
    return Loader
