"""Where installs and files land: places that Lambda's runtime does not search, cannot read or empties."""

from __future__ import annotations

import posixpath
import re
from collections.abc import Iterator

from lamina.patterns import regex
from lamina.preflight.fault import Fault, Rule
from lamina.preflight.view import ImageView, RunView, is_sure, line_of, words_of
from lamina.preflight.workspace import locked_names

UNUSED = Rule(
    id="LAM631",
    slug="unused-environment",
    summary="packages installed into a virtual environment or a folder that the runtime does not search",
    why="Lambda's runtime starts its own Python, which does not look into a .venv",
    general=(r"Runtime\.ImportModuleError: Unable to import module '[^']*': No module named '[^']*'",),
    advice="install packages into the system (UV_PROJECT_ENVIRONMENT=/var/lang) or below /var/task; "
    "COPY modules of the repository",
)
PRIVATE = Rule(
    id="LAM632",
    slug="unreadable-install",
    summary="packages or programs below /root, which only root can read",
    why="Lambda runs functions as a user of its own, who cannot enter /root",
    logs=(r"PermissionError: \[Errno 13\] Permission denied: '/root", r"Permission denied: '/root"),
    advice="install outside of /root: without --user, or with the tool's variable for its folder",
)
EMPTIED = Rule(
    id="LAM633",
    slug="file-in-tmp",
    summary="a file that the image has in /tmp",
    why="Lambda mounts an empty /tmp over it",
    logs=(r"FileNotFoundError: \[Errno 2\] No such file or directory: '/tmp/",),
    advice="COPY the file below /var/task or /opt",
)
SHADOW = Rule(
    id="LAM634",
    slug="shadowed-package",
    summary="a folder or module of the image with the name of an installed package",
    why="Python finds it first, so the installed package is never imported",
    general=(
        r"AttributeError: (?:partially initialized )?module '\w+' has no attribute",
        r"ImportError: cannot import name '\w+' from '\w+'",
    ),
    advice="check that no folder or module of the image has the package's name",
)
RULES = (UNUSED, PRIVATE, EMPTIED, SHADOW)
_OWN = frozenset(
    {"boto3", "botocore", "s3transfer", "jmespath", "dateutil", "six", "urllib3", "awslambdaric"}
)
"""Modules that the runtime has as well, wherever the environment is."""
LOOKS_ASIDE = regex(rb"sys\.path|site\.addsitedir|\.venv")
_EXPORTS = regex(r"\b(?:(?:uv|poetry|pdm) export|pipenv (?:requirements|lock))\b")
_TMP = "/tmp/"  # noqa: S108 - a path on Lambda
_DOWNLOADS = {
    "HF_HOME": regex(
        r"from_pretrained|snapshot_download|huggingface-cli\s+download|\bhf\s+download|SentenceTransformer\("
    ),
    "NLTK_DATA": regex(r"nltk\.downloader|nltk\.download\("),
    "PLAYWRIGHT_BROWSERS_PATH": regex(r"\bplaywright\s+install\b"),
}
"""Variable of a library -> steps that download into its folder in the home, unless the variable is set."""
_ALSO_SET = {
    "HF_HOME": r"HF_HUB_CACHE|TRANSFORMERS_CACHE|SENTENCE_TRANSFORMERS_HOME|XDG_CACHE_HOME"
    r"|cache_dir|local_dir|local-dir"
}


def unused_faults(view: ImageView) -> Iterator[Fault]:
    """Yield environments that nothing uses."""
    if not view.is_lambda or not view.base.on_runtime or not view.starts_client:
        return
    for step in view.runs:
        for command in step.commands:
            made = _environment(step, words_of(command)) if step.in_image else None
            if made is None:
                continue
            tool, place, variable = made
            if _is_used(view):
                continue
            imported = _imported(view, step)
            sure = imported is not None and is_sure(command, step)
            yield view.fault(
                UNUSED,
                line=line_of(step, command, view.image.node.recipe.dockerfile.text),
                message=f"{tool} installs into {place}, where Lambda's runtime does not look"
                + (f": {imported[0]} imports {imported[1]}" if imported else ""),
                hint=variable,
                certainty="certain" if sure else "likely",
                unless="the function sets PYTHONPATH",
            )


def _environment(step: RunView, words: list[str]) -> tuple[str, str, str] | None:
    """Return the tool, the environment it makes and how to change that; None for other commands."""
    program = posixpath.basename(words[0]) if words else ""
    tool = " ".join((program, *words[1:2]))
    here = f"{step.sees.workdir.rstrip('/')}/.venv"
    if tool == "uv sync":
        if step.set("UV_PROJECT_ENVIRONMENT") or "--active" in words or "--dry-run" in words:
            return None
        return tool, here, "ENV UV_PROJECT_ENVIRONMENT=/var/lang before it, with uv sync --inexact"
    if tool in {"poetry install", "poetry sync"}:
        off = step.set("POETRY_VIRTUALENVS_CREATE") in {"false", "0"}
        off = off or any(place.endswith("/poetry.toml") for place in step.sees.files)
        if off or re.search(r"virtualenvs\.create\s+false", f"{step.before}\n{step.text}"):
            return None
        return tool, "a virtual environment", "ENV POETRY_VIRTUALENVS_CREATE=false before it"
    if tool in {"pipenv install", "pipenv sync"}:
        return (
            None
            if "--system" in words
            else (tool, "a virtual environment", "pipenv install --system --deploy")
        )
    return None


def _is_used(view: ImageView) -> bool:
    """Whether anything of the image or its functions names the environment."""
    text = view.final.text
    if _EXPORTS.search(text):  # and pip installs the result into the system
        return True
    if ".venv" in text or "virtualenvs" in text or "site-packages" in text or "VIRTUAL_ENV" in text:
        return True
    return any(LOOKS_ASIDE.search(view.content(each.origin) or b"") for each in view.reached.values())


def _imported(view: ImageView, step: RunView) -> tuple[str, str] | None:
    """Return a module of the function that certainly imports a package of the lock, and the package."""
    names = {name.replace("-", "_") for name in locked_names(view, step)} - _OWN
    names -= {name.replace("-", "_") for name in view.layout.required}
    local = {place.rpartition("/")[2].removesuffix(".py") for place in view.layout.files}
    local |= {posixpath.basename(posixpath.dirname(place)) for place in view.layout.files}
    for each in view.reached.values():
        for needed in each.certain_imports if each.certain else ():
            top = needed.module.partition(".")[0]
            if top in names - local:
                return view.shown(each.origin), top
    return None


def private_faults(view: ImageView) -> Iterator[Fault]:
    """Yield installs below the home of root."""
    if not view.is_lambda:
        return
    for step in view.runs:
        if step.in_image and step.as_root:
            yield from _user_installs(view, step)
            yield from _downloads(view, step)


def _user_installs(view: ImageView, step: RunView) -> Iterator[Fault]:
    for call, _, _ in step.installs:
        base = step.set("PYTHONUSERBASE")
        if not call.flags("--user") or base or re.search(r"chmod[^\n]*/root", view.final.text):
            continue
        yield view.fault(
            PRIVATE,
            line=line_of(step, call.command, view.image.node.recipe.dockerfile.text),
            message="pip install --user puts packages below /root, which Lambda's user cannot read",
            hint="drop --user: in an image pip installs for everybody",
            certainty="likely",
            unless="another step copies them out of /root",
        )


def _downloads(view: ImageView, step: RunView) -> Iterator[Fault]:
    for variable, pattern in _DOWNLOADS.items():
        set_too = re.compile("|".join(filter(None, (variable, _ALSO_SET.get(variable), r"\bHOME="))))
        if not pattern.search(step.text) or set_too.search(view.final.text) or "-d " in step.text:
            continue
        if "mount=type=cache" in " ".join(step.instruction.flags) or "download_dir" in step.text:
            continue
        yield view.fault(
            PRIVATE,
            line=step.instruction.line,
            message=f"downloads into the home of root, but Lambda's user has another: {variable} is not set",
            hint=f"ENV {variable}=/opt/{variable.partition('_')[0].lower()} before it",
            certainty="likely",
            unless=f"the function sets {variable}, or downloads again into /tmp",
        )


def emptied_faults(view: ImageView) -> Iterator[Fault]:
    """Yield files that a COPY puts into /tmp and the function reads."""
    if not view.is_lambda:
        return
    read = {
        posixpath.normpath(fact.text): (module, fact)
        for module in view.reached.values()
        for fact in (module.module.traits if module.module else ())
        if fact.kind == "reads"
    }
    later = "\n".join(each.text for each in view.runs if each.in_image)
    for instruction in view.image.node.recipe.instructions:
        if instruction.name not in {"COPY", "ADD"}:
            continue
        target = instruction.words[-1].rstrip("/") or "/"
        if not f"{target}/".startswith(_TMP):
            continue
        held = [place for place in view.layout.files if place == target or place.startswith(f"{target}/")]
        opened = next((place for place in held if place in read), None)
        names = {posixpath.basename(each.rstrip("/")) for each in (*instruction.words[:-1], target)}
        if opened is None and any(name in later for name in {*names, _TMP.rstrip("/")} if name):
            continue
        found = read[opened] if opened else None
        opens = f": {view.shown(found[0].origin)}:{found[1].line} opens it" if found else ""
        yield view.fault(
            EMPTIED,
            line=instruction.line,
            message=f"{instruction.name} into {target}: on Lambda /tmp starts empty{opens}",
            hint=f"{instruction.name} it to /var/task or /opt",
            certainty="certain" if found and found[0].certain and found[1].sure else "likely",
            unless="a step moves it, or the function does not use it",
        )


def shadow_faults(view: ImageView) -> Iterator[Fault]:
    """Yield folders in the root of the function that hide an installed package."""
    if not view.is_lambda:
        return
    required = {name.replace("-", "_") for name in view.layout.required}
    required -= {posixpath.basename(each.place) for each in view.layout.installed}
    for folder in dict.fromkeys((view.layout.workdir, "/var/task")):
        modules = {f"{folder}/{name}{end}": name for name in required for end in (".py", "/__init__.py")}
        for place, name in sorted(modules.items()):
            origin = view.layout.files.get(place)
            if origin is None or name not in required:
                continue
            if b"extend_path" in (view.content(origin) or b"") or not _is_imported(view, name):
                continue
            shown = view.shown(origin)
            yield view.fault(
                SHADOW,
                file=posixpath.dirname(shown) if shown.endswith("/__init__.py") else shown,
                message=f"{place} shadows the installed package {name}: {view.name} imports it first",
                hint=f"rename {name}, or drop {name} from the requirements",
                certainty="likely",
                unless=f"it is meant to replace {name}",
            )
            required.discard(name)


def _is_imported(view: ImageView, name: str) -> bool:
    return any(each.partition(".")[0] == name for module in view.reached.values() for each in module.imports)
