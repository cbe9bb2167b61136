"""The rule about bytecode, without which every cold start compiles what the function imports."""

from __future__ import annotations

import re
from collections.abc import Iterator

from lamina.declare.config import SOURCE_DATE_EPOCH
from lamina.lint.findings import Edit, Hit
from lamina.lint.rule import LintRule
from lamina.lint.steps import RunStep, hit
from lamina.lint.survey import LintInput

_BYTECODE = re.compile(r"__pycache__|\.py(?:c|\[co+\]|\[cod\])\b|\*\.py\[")
_UV_COMPILES = ("--compile-bytecode", "--compile")
_FALSE = {"", "0", "false", "no", "off"}
_HASHED = "python3 -m compileall -q --invalidation-mode unchecked-hash <folder>"


def _no_bytecode(survey: LintInput) -> Iterator[Hit]:
    for name, found in survey.steps.items():
        lost = _lost(survey, name)
        installed = False
        for step in found:
            if not _reaches_image(step):
                continue
            yield from _not_compiled(step, lost)
            yield from _not_compiled_by_uv(step, lost)
            if survey.project.settings.reproducible:
                yield from _dated(step, lost)
            installed = installed or bool(step.installs or step.tools)
            if installed:
                yield from _stripped(step, lost)
                yield from _rewritten(step, lost)


def _lost(survey: LintInput, name: str) -> str:
    """Return what the last smoke measured for an image, or for one that is based on it."""
    above = {name}
    for each, image in survey.images.items():  # bases first
        if above & image.node.parents.keys():
            above.add(each)
    measured = [survey.starts[each] for each in survey.images if each in above and each in survey.starts]
    if not measured or not max(measured)[0]:
        return ""
    modules, milliseconds = max(measured)
    return f"; in the last smoke {modules} modules were compiled in {milliseconds:.0f} ms of CPU"


def _reaches_image(step: RunStep) -> bool:
    """Whether the step is in the image, or in a stage that the image copies from."""
    if step.in_image:
        return True
    name, index = step.stage.stage.name, str(step.stage.stage.index)
    chain = step.image.node.recipe.chain
    copies = (each.flag("from") for stage in chain for each in stage.stage.instructions)
    return any(each in {name, index} for each in copies if each)


def _not_compiled(step: RunStep, lost: str) -> Iterator[Hit]:
    for install in step.installs:
        for word in install.flags("--no-compile"):
            edits = list(step.script.without_words(install.command, (word,)))
            yield hit(
                step,
                word.start,
                message=f"pip install --no-compile makes no bytecode{lost}",
                fix=(step.edit(edits),) if step.script.editable else None,
                hint="remove --no-compile",
            )


def _not_compiled_by_uv(step: RunStep, lost: str) -> Iterator[Hit]:
    if step.environment.get("UV_COMPILE_BYTECODE", "").lower() not in _FALSE or _compiles(step):
        return
    for call in step.tools:
        word, texts = call.word, [each.text for each in call.command.words]
        if call.tool != "uv":
            continue
        if any(each in _UV_COMPILES or each.startswith("UV_COMPILE_BYTECODE=") for each in texts):
            continue
        yield hit(
            step,
            word.start,
            message=f"uv makes no bytecode unless asked to{lost}",
            fix=(step.edit([(word.end, word.end, " --compile-bytecode")]),) if step.script.editable else None,
            hint=f"uv … {word.text} --compile-bytecode, or ENV UV_COMPILE_BYTECODE=1",
        )


def _compiles(step: RunStep) -> bool:
    """Whether the step compiles by itself."""
    return any("compileall" in {word.text for word in each.words} for each in step.script.commands)


def _stripped(step: RunStep, lost: str) -> Iterator[Hit]:
    for command in step.script.commands:
        texts = [word.text for word in command.words]
        named = next((word for word in command.words if _BYTECODE.search(word.text)), None)
        deletes = texts[0] == "rm" or {"-delete", "rm"} & set(texts) or command.after == "|"
        if named is None or not (texts[0] in {"rm", "find"} and deletes):
            continue
        only = all(_BYTECODE.search(each) for each in texts[1:] if texts[0] == "rm" and each[:1] != "-")
        plain = command.top and only and not {"-o", "-or"} & set(texts) and step.script.editable
        edits = step.script.without([command]) if plain else None
        yield hit(
            step,
            command.start,
            message=f"the bytecode of installed packages is removed{lost}",
            fix=(step.edit(edits),) if edits else None,
            hint=f"do not delete {named.text}",
        )


def _rewritten(step: RunStep, lost: str) -> Iterator[Hit]:
    words = {word.text for command in step.script.commands for word in command.words}
    if "unchecked-hash" in words or "checked-hash" in words:
        return
    for command in step.script.commands:
        texts = [word.text for word in command.words]
        dated = any(each in {"-d", "-t", "-r", "-hd", "-ht"} or each.startswith("--date") for each in texts)
        if "touch" in texts and dated:
            yield hit(
                step,
                command.start,
                message=f"files get other times: bytecode made before is out of date{lost}",
                hint=f"compile afterwards, valid whatever the times: {_HASHED}",
            )


def _dated(step: RunStep, lost: str) -> Iterator[Hit]:
    """Report installs whose bytecode `reproducible` makes useless, as it gives all files another time."""
    declared = [
        each.words[0].partition("=")[0]
        for each in step.stage.stage.instructions
        if each.name == "ARG" and each.line < step.instruction.line
    ]
    if not step.installs or SOURCE_DATE_EPOCH in declared:
        return
    line = step.instruction.line
    file = step.image.node.recipe.dockerfile.path
    yield hit(
        step,
        message=f"reproducible gives all files another time: bytecode made by pip is out of date{lost}",
        fix=(Edit(file=file, start=line, end=line, lines=(f"ARG {SOURCE_DATE_EPOCH}",)),),
    )


RULES = (
    LintRule(
        id="LAM110",
        slug="no-bytecode",
        severity="warning",
        summary="installs without bytecode: `--no-compile`, uv without `--compile-bytecode`, deleted "
        "`__pycache__`, changed file times",
        why="/var/task is read-only on Lambda: every cold start compiles all that it imports",
        fixes="removes `--no-compile` and deletions, adds `--compile-bytecode` or `ARG SOURCE_DATE_EPOCH`",
        find=_no_bytecode,
    ),
)
