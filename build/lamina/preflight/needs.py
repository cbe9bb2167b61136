"""Modules of distributions that a function imports when it starts and that no step installs."""

from __future__ import annotations

import posixpath
import re
import sys
from collections.abc import Iterator, Mapping

from lamina.errors import Certainty
from lamina.identify.importable import RUNTIME
from lamina.identify.modules import Import
from lamina.identify.providers import is_named, may_provide, providers
from lamina.identify.reach import ReachedModule
from lamina.patterns import regex
from lamina.preflight.fault import Fault, Rule
from lamina.preflight.installed import TOOLS, InstalledNames, read_steps
from lamina.preflight.source import CAME, GONE
from lamina.preflight.view import ImageView
from lamina.values import dataclass

NEEDED = Rule(
    id="LAM651",
    slug="not-installed",
    summary="an import, when the function starts, of a package that no step installs",
    why="importing the handler fails before the first event: No module named",
)
RULES = (NEEDED,)
_STANDARD = frozenset({*sys.stdlib_module_names, *GONE, *CAME, "annotationlib", "compression", "test"})
"""Modules of the standard library of any version."""
_WITH_PYTHON = frozenset({"pip", "setuptools", "pkg_resources", "wheel"})
_ON_RUNTIME = RUNTIME | {"bootstrap", "certifi", "docutils"}
_TOOLS = TOOLS | {"awslambdaric", "simplejson", "snapshot-restore-py"}
"""Distributions that certainly provide no other modules."""
_ASIDE = regex(
    rb"sys\.path|sys\.modules|from sys import|import sys as"
    rb"|/mnt/|builtins|__import__|os\.exec|pkg_resources"
    rb"|addsitedir|meta_path|path_hooks|unzip_requirements|zipimport|extend_path"
    rb"|importlib\.(?:util|machinery|abc)|from importlib import\b|\.venv|\bpip\b.{0,40}\binstall"
)
"""Code that may make modules importable in ways that are not seen."""
_VARIABLES = ("AWS_LAMBDA_EXEC_WRAPPER", "PYTHONHOME", "PYTHONSTARTUP")
_TEXTS = (
    ".py",
    ".txt",
    ".toml",
    ".lock",
    ".json",
    ".cfg",
    ".ini",
    ".md",
    ".sh",
    ".yaml",
    ".yml",
    ".pem",
    ".crt",
)
_NOT_SEEN = (".pth", ".zip", ".egg", ".whl", ".pyz")


@dataclass(frozen=True, slots=True, kw_only=True)
class _Judgement:
    """How certain it is that a module is lacking, with the words for it."""

    certainty: Certainty
    fact: str
    hint: str
    unless: str


def need_faults(view: ImageView) -> Iterator[Fault]:
    """Yield the first import of each module that the image certainly or probably lacks."""
    if view.parse is None or not view.reached or not _starts_plainly(view):
        return
    steps = read_steps(view)
    needed = _outside(view) if steps else {}
    found = steps.installed() if steps and needed else None
    if found is None:
        return
    lacking = {top: places for top, places in needed.items() if not may_provide(top, found.names)}
    at_top = {
        top: [place for place in places if _imports_at_top(view, place, top)]
        for top, places in lacking.items()
    }
    local = _local_names(view) if any(at_top.values()) else frozenset[str]()
    judged = _judge(view, found, [top for top, places in at_top.items() if places and top not in local])
    if not judged or not _is_seen(view):
        return
    modules = view.parse(frozenset(place for top in judged for place in at_top[top]))
    for top, judgement in judged.items():
        first = next(_certain(view, modules, top, at_top[top]), None)
        if first:
            yield _fault(view, top, first, judgement)


def _starts_plainly(view: ImageView) -> bool:
    """Whether Lambda's client imports the handler in an image whose Python and modules are known."""
    words = view.entrypoint.instruction.words if view.entrypoint else ()
    plain = not words or (words[-1] == "awslambdaric" and words[1:2] == ("-m",))
    return (
        view.is_lambda
        and view.starts_client
        and plain
        and (view.base.on_runtime or view.base.python is not None)
        and not any(name in view.final.variables for name in _VARIABLES)
    )


def _outside(view: ImageView) -> Mapping[str, list[str]]:
    """Return the modules that reached ones may import from distributions: name -> the importing places."""
    known = _STANDARD | _WITH_PYTHON | view.lost | (_ON_RUNTIME if view.base.on_runtime else frozenset())
    known |= {part.removesuffix(".py") for place in view.reached for part in place.split("/")}
    names = frozenset[str]().union(*(each.imports for each in view.reached.values()))
    tops = {name: name.partition(".")[0] for name in names}
    outside = {name: top for name, top in tops.items() if top not in known and top[:1] not in {"", "_"}}
    found: dict[str, list[str]] = {}
    for place, each in view.reached.items() if outside else ():
        for top in {outside[name] for name in each.imports if name in outside}:
            found.setdefault(top, []).append(place)
    return found


def _is_seen(view: ImageView) -> bool:
    """Whether everything that the image can import from its files is known."""
    if not all(gap.by.startswith("RUN in ") for gap in view.layout.gaps):  # all RUNs were read
        return False
    if any(place.endswith(_NOT_SEEN) for place in view.layout.files) or not all(
        map(_is_plain, _images(view))
    ):
        return False
    if any(not view.layout.has_folder(path) and "-packages" not in path for path in view.layout.paths):
        return False  # it may be mounted when the function runs
    return not any(_ASIDE.search(_source(view, each.origin)) for each in view.reached.values())


def _images(view: ImageView) -> Iterator[ImageView]:
    """Yield an image and its bases in the project."""
    below: ImageView | None = view
    while below is not None:
        yield below
        below = below.parent


def _is_plain(view: ImageView) -> bool:
    """Whether no command makes sources, and ADD unpacks nothing: BuildKit knows an archive by its content."""
    paths = tuple(each.path for each in view.image.contexts[""].files)
    added = (each for each in view.image.node.recipe.instructions if each.name == "ADD")
    words = (posixpath.normpath(word.lstrip("/") or ".") for each in added for word in each.words[:-1])
    return view.image.node.spec.before is None and all(
        word.endswith(_TEXTS) or word == "." or any(path.startswith(f"{word}/") for path in paths)
        for word in words
    )


def _local_names(view: ImageView) -> frozenset[str]:
    """Return the names of all files and folders of the image and of what builds read, without their ends."""
    places = [*view.layout.files, *(origin.removeprefix(f"{view.image.root('')}/") for origin in view.kinds)]
    return frozenset(part.partition(".")[0] for place in places for part in place.split("/"))


def _judge(view: ImageView, found: InstalledNames, tops: list[str]) -> Mapping[str, _Judgement]:
    """Return how certain it is that modules are lacking; those of which that is not known are left out."""
    left_out = found.left_out() if tops else {}
    judged: dict[str, _Judgement] = {}
    for top in tops:
        lock = next((lock for name, lock in left_out.items() if is_named(top, name)), None)
        known = providers(top)
        name = known[0] if known else top.replace("_", "-")
        if lock is not None:
            project = posixpath.join(posixpath.dirname(lock), "pyproject.toml")
            judged[top] = _Judgement(
                certainty="certain" if known and found.is_exact() else "likely",
                fact=f"which {lock} has and no step of {view.file} installs",
                hint=f"move {name} from its group or extra to the dependencies in {project}",
                unless=f"another package has a module {top} as well",
            )
        elif known:
            sure = found.names <= _TOOLS and _only_files(view)
            judged[top] = _Judgement(
                certainty="certain" if sure else "likely",
                fact=f"and no step of {view.file} installs {name}",
                hint=f"add {name} to the requirements that {view.file} installs",
                unless=f"the function's PYTHONPATH names a mounted file system that has {top}"
                if sure
                else f"another package has a module {top}, or it is put into the context before the build",
            )
    return judged


def _only_files(view: ImageView) -> bool:
    """Whether single files are copied into the image, and no folder, which may have more elsewhere."""
    copies = [each for each in view.image.node.recipe.instructions if each.name in {"COPY", "ADD"}]
    files = {each.path for each in view.image.contexts[""].files if each.kind in {"file", "exec"}}
    named = (posixpath.normpath(word.lstrip("/")) for each in copies for word in each.words[:-1])
    below = view.parent is None or _only_files(view.parent)
    return below and not any(each.flag("from") for each in copies) and all(name in files for name in named)


def _source(view: ImageView, origin: str) -> bytes:
    return view.readings.source(origin) or b""


def _imports_at_top(view: ImageView, place: str, top: str) -> bool:
    """Whether a module has the text of an import at the beginning of a line."""
    found = re.search(
        rb"^(?:import|from)\b[^\n]*\b%s\b" % top.encode(), _source(view, view.reached[place].origin), re.M
    )
    return found is not None


def _certain(
    view: ImageView, modules: Mapping[str, ReachedModule], top: str, places: list[str]
) -> Iterator[tuple[ReachedModule, Import]]:
    """Yield the imports of a module that starting the function always executes.

    Not those in a ``with``, whose manager may catch the error: only statements at the beginning of a line.
    """
    for place in places:
        each = modules[place]
        lines = _source(view, each.origin).splitlines()
        for need in each.certain_imports if each.certain else ():
            if (
                need.module.partition(".")[0] == top
                and lines[need.line - 1 : need.line]
                and lines[need.line - 1][:1].strip()
            ):
                yield each, need


def _fault(view: ImageView, top: str, first: tuple[ReachedModule, Import], judged: _Judgement) -> Fault:
    module, need = first
    return view.fault(
        NEEDED,
        file=view.shown(module.origin),
        line=need.line,
        message=f"imports {top}, {judged.fact}: {view.name} fails with No module named '{top}'",
        hint=judged.hint,
        certainty=judged.certainty,
        unless=judged.unless,
    )
