"""Rules about uv, Poetry, PDM and Pipenv: what they install, from which files, and into which layer."""

from __future__ import annotations

import posixpath
import re
from collections.abc import Iterator, Mapping

from lamina.declare.dockerfile import Instruction
from lamina.declare.project_tools import CACHE_VARIABLES, CACHES, ToolInstall
from lamina.lint.findings import Edit, Fix, Hit
from lamina.lint.rule import LintRule
from lamina.lint.steps import RunStep, hit
from lamina.lint.survey import LintInput

_LOCKS = {"uv": "uv.lock", "poetry": "poetry.lock", "pdm": "pdm.lock", "pipenv": "Pipfile.lock"}
_FALSE = {"", "0", "false", "no", "off"}
_LINK_MODE = "--link-mode=copy"
_OTHER_SOURCES = re.compile(r"^\s*\[tool\.uv\.workspace\]|\b(?:path|workspace)\s*=", re.MULTILINE)
"""What needs more files than the lock and the project file."""
NO_CODE: Mapping[str, str] = {"uv": "--no-install-project", "poetry": "--no-root", "pdm": "--no-self"}
"""Tool -> the option that leaves the project's own code out."""


def tool_caches(survey: LintInput) -> Iterator[Hit]:
    """Yield installs by other tools than pip without a cache mount."""
    for step, call in tool_calls(survey):
        if step.tools[0] is call and not is_mounted(step, call) and not call.flags("--no-cache", "-n"):
            yield hit(
                step,
                call.word.start,
                message=f"no cache mount for {call.name}",
                fix=_with_mount(step, call),
                hint=f"RUN --mount=type=cache,target=<that user's cache> {call.name} …",
            )


def unused_caches(survey: LintInput) -> Iterator[Hit]:
    """Yield calls of uv that switch its cache off."""
    for step, call in tool_calls(survey):
        for word in call.flags("--no-cache", "-n") if call.tool == "uv" else ():
            edits = list(step.script.without_words(call.command, (word,)))
            yield hit(
                step,
                word.start,
                message=f"{call.name} {word.text} downloads everything again whenever the step runs",
                fix=(step.edit(edits),) if step.script.editable and is_mounted(step, call) else None,
                hint=f"RUN --mount=type=cache,target={CACHES['uv']} {call.name} …, without {word.text}",
            )


def whole_context(survey: LintInput) -> Iterator[Hit]:
    """Yield a COPY of the whole context before an install that makes a project's environment."""
    for name, found in survey.steps.items():
        split = False
        for step in found:
            for call in step.tools:
                copy = whole_copy(step)
                if copy is not None and not split and call.project:
                    yield Hit(
                        image=name,
                        file=step.image.node.recipe.dockerfile.path,
                        line=copy.line,
                        message=f"{copy.name} of the whole context comes before {call.name}",
                        fix=_split(survey, step, call, copy),
                        hint="install the dependencies first, from the lock and the project file alone: "
                        f"{call.name} {NO_CODE.get(call.tool, '')}".rstrip(),
                        step=True,
                    )
                split = split or (call.project and not call.with_code and copy is None)


def _unlocked(survey: LintInput) -> Iterator[Hit]:
    for step, call in tool_calls(survey):
        locked = call.has("--frozen", "--locked") or any(
            step.environment.get(name, "").lower() not in _FALSE for name in ("UV_FROZEN", "UV_LOCKED")
        )
        if call.tool != "uv" or not call.project or locked:
            continue
        has_lock = any(each.path.endswith(_LOCKS["uv"]) for each in step.image.contexts[""].files)
        end = call.word.end
        yield hit(
            step,
            call.word.start,
            message="uv sync without --locked changes an outdated uv.lock during the build",
            fix=(step.edit([(end, end, " --locked")]),) if has_lock and step.script.editable else None,
            hint="copy or mount uv.lock, and uv sync --locked",
        )


def _uv_run(survey: LintInput) -> Iterator[Hit]:
    for name, image in survey.images.items():
        for each in image.node.recipe.instructions:
            words = " ".join(each.words).split()[:2]
            if each.name in {"CMD", "ENTRYPOINT"} and words and words[0].rpartition("/")[2] == "uv":
                yield Hit(
                    image=name,
                    file=image.node.recipe.dockerfile.path,
                    line=each.line,
                    message=f"{each.name} starts {' '.join(words)}: every start waits for it",
                    hint="start the environment's own Python, or the runtime's: "
                    'ENTRYPOINT ["python3", "-m", "awslambdaric"]',
                )


def tool_calls(survey: LintInput) -> Iterator[tuple[RunStep, ToolInstall]]:
    """Yield every install by another tool than pip."""
    for found in survey.steps.values():
        for step in found:
            for call in step.tools:
                yield step, call


def is_mounted(step: RunStep, call: ToolInstall) -> bool:
    """Whether a step mounts a cache for the tool that it calls."""
    mounts = step.instruction.flags_of("mount")
    name = posixpath.basename(CACHES[call.tool])
    return any("type=cache" in each and (name in each or ".cache" in each) for each in mounts)


def _with_mount(step: RunStep, call: ToolInstall) -> Fix | None:
    """Return the edit that mounts a cache; None if it is not certain where the tool's cache is."""
    cleans = any(
        words[0] == "rm" and any(".cache" in word for word in words)
        for words in ([word.text for word in command.words] for command in step.script.commands)
    )
    own = any(word.text.startswith("--cache-dir") for word in call.options)
    if not step.root or not step.script.editable or cleans or own:
        return None
    if CACHE_VARIABLES & step.environment.keys():
        return None
    text, at = step.script.text, len("RUN")
    at += len(text) - len(text.lstrip())
    directives = step.image.node.recipe.dockerfile.directives
    escape = next((each[-1] for each in directives if each.startswith("escape=")), "\\")
    flags = step.instruction.flags
    mount = f" --mount=type=cache,target={CACHES[call.tool]}" + ("" if flags else f" {escape}\n    ")
    edits = [(at, at if flags else step.script.start, mount)]
    if call.tool == "uv" and "UV_LINK_MODE" not in step.environment and not call.has("--link-mode"):
        edits.append((call.word.end, call.word.end, f" {_LINK_MODE}"))  # hard links end at a mount
    return (step.edit(edits),)


def whole_copy(step: RunStep) -> Instruction | None:
    """Return the COPY of the whole context before a step of the same stage."""
    own = {id(each) for each in step.stage.stage.instructions}
    places = (each for each in step.places if each.copy is not None and id(each.copy) in own)
    return next((each.copy for each in places if each.source in {"", "."}), None)


def _split(survey: LintInput, step: RunStep, call: ToolInstall, copy: Instruction) -> Fix | None:
    """Return the edit that installs the dependencies before the COPY, as uv's guide for Docker does.

    None unless the lock and the project file, at the top of the context, are all that uv needs for them.
    Source: https://docs.astral.sh/uv/guides/integration/docker/#intermediate-layers
    """
    place = next((each for each in step.places if each.copy is copy), None)
    if place is None or place.path != step.workdir or not is_plain_sync(step, call):
        return None
    stage = step.stage.stage.instructions
    between = [each for each in stage if copy.line < each.line < step.instruction.line]
    if any(each.name not in {"LABEL", "EXPOSE"} for each in between):
        return None
    image, project = step.image, survey.listings.get(step.image.name, {}).get("pyproject.toml")
    has_lock = any(each.path == _LOCKS["uv"] for each in image.contexts[""].files)
    if project is None or not has_lock or _OTHER_SOURCES.search(project):
        return None
    words = [word.text for word in call.options if word.text != "--no-editable"]
    locked = [] if call.has("--frozen", "--locked") else ["--locked"]
    lines = (
        f"RUN --mount=type=cache,target={CACHES['uv']} \\",
        "    --mount=type=bind,source=uv.lock,target=uv.lock \\",
        "    --mount=type=bind,source=pyproject.toml,target=pyproject.toml \\",
        "    " + " ".join(("uv sync", *locked, NO_CODE["uv"], *words)),
    )
    return (Edit(file=image.node.recipe.dockerfile.path, start=copy.line, end=copy.line, lines=lines),)


def is_plain_sync(step: RunStep, call: ToolInstall) -> bool:
    """Whether a step is one ``uv sync`` with flags only, as root, with the cache where it usually is."""
    commands = step.script.commands
    flags = all(word.text.startswith("--") and not word.quoted for word in call.options)
    own = call.has("--no-install-package", "--package", "--project", "--all-packages", "--script")
    known = step.root and not CACHE_VARIABLES & step.environment.keys() and not step.other_shell
    simple = len(commands) == 1 and commands[0].words[0].text == "uv" and step.script.editable
    return call.tool == "uv" and simple and flags and known and not own


RULES = (
    LintRule(
        id="LAM111",
        slug="unlocked-sync",
        severity="warning",
        summary="`uv sync` without `--locked` or `--frozen`",
        why="the image may get other versions than uv.lock has",
        fixes="adds `--locked`, if the context has a uv.lock",
        find=_unlocked,
    ),
    LintRule(
        id="LAM602",
        slug="uv-run",
        severity="warning",
        summary="`uv run` in CMD or ENTRYPOINT",
        why="every cold start waits for uv, which may try to write the read-only environment",
        fixes="by hand",
        find=_uv_run,
    ),
)
