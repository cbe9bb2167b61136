"""Determine the files of a local project's wheel, and the build settings that leave files out.

Only settings with a clear meaning are followed. If anything else decides, no file counts as left out.
"""

from __future__ import annotations

import posixpath
import re
import tomllib
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import field
from fnmatch import fnmatchcase

from lamina.identify.goregexp import PatternError
from lamina.identify.ignore import Ignore
from lamina.patterns import regex
from lamina.values import dataclass

PYPROJECT = "pyproject.toml"
_SETUP = "setup.py"
_ASIDE = frozenset(
    {"tests", "test", "docs", "doc", "examples", "scripts", "build", "dist", ".venv", "node_modules"}
)
_OWN_SETUP = ("package_data", "data_files", "cmdclass", "package_dir", "py_modules")
_BY_GIT = regex(r"setuptools[-_.](scm|git)", re.IGNORECASE)


@dataclass(frozen=True, slots=True, kw_only=True)
class Dropped:
    """A setting that leaves a file out of the wheel. file: the file with the setting, as an origin."""

    project: str
    file: str
    line: int
    setting: str
    fix: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Wheel:
    """files: path below site-packages -> origin. dropped: origin -> the setting that leaves it out."""

    files: Mapping[str, str] = field(default_factory=dict)
    dropped: Mapping[str, Dropped] = field(default_factory=dict)


_Rule = Callable[[str], tuple[str, str, str] | None]
"""Project path -> the text to search for in the deciding file, the setting, and the fix. None: included."""


def read_wheel(files: Mapping[str, str], read: Callable[[str], str | None]) -> Wheel:
    """Read a project's wheel.

    Args:
        files: path in the project -> origin.
        read: origin -> text.
    """
    text = read(files[PYPROJECT]) if PYPROJECT in files else None
    config = _toml(text)
    backend = str(_table(config, "build-system").get("build-backend", "setuptools.build_meta"))
    tool = _table(config, "tool")
    bases = _bases(tool)
    if backend.startswith("setuptools"):
        setup = read(files[_SETUP]) if _SETUP in files else None
        decider = _SETUP if setup is not None and not tool.get("setuptools") else PYPROJECT
        rule = _setuptools(files, tool, config, setup, read)
        text = setup if decider == _SETUP else text
    else:
        decider, rule = PYPROJECT, _excluding(backend, tool)
    held: dict[str, str] = {}
    dropped: dict[str, Dropped] = {}
    for base in bases:
        for rest, path in _below(files, base):
            found = rule(path) if rule is not None else None
            if found is None:
                held.setdefault(rest, files[path])
            elif decider in files:
                dropped[files[path]] = Dropped(
                    project=str(_table(config, "project").get("name", "the project")),
                    file=files[decider],
                    line=_line(text or "", found[0]),
                    setting=found[1],
                    fix=found[2],
                )
    return Wheel(files=held, dropped=dropped)


def _toml(text: str | None) -> Mapping[str, object]:
    try:
        return tomllib.loads(text or "")
    except tomllib.TOMLDecodeError:
        return {}


def _table(config: Mapping[str, object], *keys: str) -> Mapping[str, object]:
    for key in keys:
        found = config.get(key)
        config = found if isinstance(found, dict) else {}
    return config


def _strings(value: object) -> list[str]:
    return [each for each in value if isinstance(each, str)] if isinstance(value, list) else []


def _bases(tool: Mapping[str, object]) -> list[str]:
    """Return the folders of a project that contain its packages."""
    packages = _strings(_table(tool, "hatch", "build", "targets", "wheel").get("packages"))
    found = [posixpath.dirname(each.strip("/")) for each in packages]
    find = _table(tool, "setuptools", "packages", "find")
    found += _strings(find.get("where"))
    return list(dict.fromkeys(["src", *(each.strip("./") for each in found), ""]))


def _below(files: Mapping[str, str], base: str) -> Iterator[tuple[str, str]]:
    """Yield importable files below a folder: modules and packages, with paths relative to it."""
    prefix = f"{base}/" if base else ""
    inside = [(path.removeprefix(prefix), path) for path in files if path.startswith(prefix)]
    packages = {rest.partition("/")[0] for rest, _ in inside if rest.endswith("/__init__.py")}
    loose = {rest.partition("/")[0] for rest, _ in inside if rest.endswith(".py") and rest != _SETUP}
    names = packages | (loose - _ASIDE)
    return ((rest, path) for rest, path in inside if rest.partition("/")[0] in names)


def _excluding(backend: str, tool: Mapping[str, object]) -> _Rule | None:
    """Return the rule of a backend that includes whole packages, except for excluded files."""
    if backend.startswith("hatchling"):
        return _hatch(tool)
    if backend.startswith("poetry"):
        own = _table(tool, "poetry")
        return _by_patterns(_strings(own.get("exclude")), _strings(own.get("include")), "exclude")
    if backend.startswith("uv_build"):
        own = _table(tool, "uv", "build-backend")
        patterns = [*_strings(own.get("wheel-exclude")), *_strings(own.get("source-exclude"))]
        return _by_patterns([_anywhere(each) for each in patterns], [], "wheel-exclude")
    if backend.startswith("pdm"):
        own = _table(tool, "pdm", "build")
        return _by_patterns(_strings(own.get("excludes")), _strings(own.get("includes")), "excludes")
    return None


def _hatch(tool: Mapping[str, object]) -> _Rule | None:
    build = _table(tool, "hatch", "build")
    wheel = _table(build, "targets", "wheel")
    if wheel.get("sources") or wheel.get("hooks") or build.get("hooks") or wheel.get("force-include"):
        return None
    excludes = _strings(wheel.get("exclude", build.get("exclude")))
    artifacts = _strings(wheel.get("artifacts", build.get("artifacts")))
    excluded = _by_patterns(list(map(_anywhere, excludes)), list(map(_anywhere, artifacts)), "exclude")
    chosen = _strings(wheel.get("only-include")) or _strings(wheel.get("packages"))

    def rule(path: str) -> tuple[str, str, str] | None:
        if chosen and not any(f"{path}/".startswith(f"{each.strip('./')}/") for each in chosen):
            return chosen[0], f"packages = {chosen}", f'add "{_package(path)}" to packages'
        return excluded(path) if excluded else None

    return rule


def _package(path: str) -> str:
    return posixpath.dirname(path) or path


def _anywhere(pattern: str) -> str:
    """Convert a ``.gitignore`` pattern to ignore-file syntax. Without a slash it matches in any folder."""
    bare = pattern.removeprefix("!")
    sign = pattern[: len(pattern) - len(bare)]
    anchored = "/" in bare.rstrip("/")
    return sign + (bare.strip("/") if anchored else f"**/{bare.rstrip('/')}")


def _by_patterns(patterns: list[str], kept: list[str], setting: str) -> _Rule | None:
    try:
        hides, keeps = Ignore.patterns(patterns, ""), Ignore.patterns(kept, "")
    except PatternError:
        return None

    def rule(path: str) -> tuple[str, str, str] | None:
        found = hides.hides(path) if patterns else None
        if found is None or (kept and keeps.hides(path)):
            return None
        text = found.text.removeprefix("**/")
        return text, f'{setting} = ["{text}"]', f"make that pattern not match {posixpath.basename(path)}"

    return rule if patterns else None


def _setuptools(
    files: Mapping[str, str],
    tool: Mapping[str, object],
    config: Mapping[str, object],
    setup: str | None,
    read: Callable[[str], str | None],
) -> _Rule | None:
    own = _table(tool, "setuptools")
    requires = " ".join(_strings(_table(config, "build-system").get("requires")))
    by_setup = setup is not None and "packages" in setup
    if _BY_GIT.search(requires) or "setup.cfg" in files or own.get("package-dir"):
        return None
    if setup is not None and (any(word in setup for word in _OWN_SETUP) or "setup_requires" in setup):
        return None
    if by_setup and own:
        return None
    listed = own.get("packages")
    packages = _strings(listed) if isinstance(listed, list) else None
    find = _table(own, "packages", "find")
    manifest = read(files["MANIFEST.in"]) if "MANIFEST.in" in files else None
    included = (
        own.get("include-package-data", True) if not by_setup else "include_package_data" in (setup or "")
    )
    data = _table(own, "package-data")
    less = _strings(find.get("exclude"))
    where = [f"{each.strip('./')}/" for each in _strings(find.get("where"))] or ["src/"]

    def rule(path: str) -> tuple[str, str, str] | None:
        base = next((each for each in where if path.startswith(each)), "")
        package = posixpath.dirname(path[len(base) :]).replace("/", ".")
        if path.endswith((".py", ".pyi")) or posixpath.basename(path) == "py.typed":
            if packages is not None and package and package not in packages:
                return "packages", f"packages = {packages}", f'add "{package}" to packages'
            if any(fnmatchcase(package, each) for each in less):
                return "exclude", f"packages.find exclude = {less}", f"remove {package} from exclude"
            return None
        if _has_data(data, path[len(base) :]) or (included and _in_manifest(manifest, path)):
            return None
        fix = "add a pattern for it to [tool.setuptools.package-data]"
        if by_setup:
            return "setup(", "setup() without package_data", "add a pattern for it to package_data"
        setting = "package-data without a pattern for it" if data else "no package-data for it"
        return ("package-data" if data else "build-backend"), setting, fix

    return rule


def _has_data(data: Mapping[str, object], path: str) -> bool:
    """Whether ``package-data`` includes a file. Its patterns are relative to a package."""
    for package, patterns in data.items():
        parts = path.split("/")
        for depth in range(1, len(parts)):
            if package in {"*", "", ".".join(parts[:depth])}:
                rest = "/".join(parts[depth:])
                if any(_globs(each, rest) for each in _strings(patterns)):
                    return True
    return False


def _globs(pattern: str, path: str) -> bool:
    if "**" in pattern:
        return fnmatchcase(path, pattern.replace("**/", "*")) or fnmatchcase(path, pattern.replace("**", "*"))
    return pattern.count("/") == path.count("/") and fnmatchcase(path, pattern)


def _in_manifest(manifest: str | None, path: str) -> bool:
    """Whether a line of ``MANIFEST.in`` may include a file. Excluding lines are ignored."""
    for line in (manifest or "").splitlines():
        words = line.split()
        match words[:1]:
            case ["include" | "global-include"]:
                hit = any(
                    fnmatchcase(path, each) or fnmatchcase(posixpath.basename(path), each)
                    for each in words[1:]
                )
            case ["recursive-include"]:
                hit = path.startswith(words[1].rstrip("/") + "/") and _named(path, words[2:])
            case ["graft"]:
                hit = path.startswith(words[1].rstrip("/") + "/")
            case _:
                hit = False
        if hit:
            return True
    return False


def _named(path: str, patterns: Iterable[str]) -> bool:
    name = posixpath.basename(path)
    return any(fnmatchcase(name, each) or fnmatchcase(path, f"*/{each}") for each in patterns)


def _line(text: str, found: str) -> int:
    """Return the number of the first line that contains a text, skipping comments; 1 if none does."""
    lines = enumerate(text.splitlines(), start=1)
    return next((number for number, line in lines if found in line and not line.lstrip().startswith("#")), 1)
