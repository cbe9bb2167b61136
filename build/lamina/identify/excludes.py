"""What no image gets unless a source or an ignore file names it: caches, environments, the state folder."""

from __future__ import annotations

from collections.abc import Collection
from fnmatch import fnmatchcase

from lamina.declare.recipe import SourceFiles
from lamina.identify.ignore import Ignore

DEFAULT_EXCLUDES = (
    ".git",
    ".lamina",
    "__pycache__",
    "*.pyc",
    ".venv",
    ".nox",
    ".tox",
    ".mypy_cache",
    ".pytest_cache",
    ".ruff_cache",
    "node_modules",
    "*.egg-info",
    ".DS_Store",
)
BY_DEFAULT = "the default excludes"


def with_defaults(ignore: Ignore, sources: tuple[SourceFiles, ...]) -> Ignore:
    """Append `DEFAULT_EXCLUDES` to the rules, except for names in a ``!`` rule or a source."""
    named = {part for source in sources for path in source.paths or () for part in path.split("/")}
    named |= {part for rule in ignore.rules if rule.negated for part in rule.pattern.split("/")}
    unasked = (each for each in DEFAULT_EXCLUDES if not _names(named, each))
    return ignore.plus((f"**/{each}" for each in unasked), BY_DEFAULT)


def _names(parts: Collection[str], exclude: str) -> bool:
    if "*" not in exclude:
        return exclude in parts
    return any(fnmatchcase(part, exclude) for part in parts)
