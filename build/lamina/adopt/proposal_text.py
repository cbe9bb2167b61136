"""Write a proposal as TOML, by itself or at the end of a configuration file. Pure."""

from __future__ import annotations

import json
import re
import tomllib
from collections.abc import Iterator

from lamina.adopt.proposal import ImageProposal, Proposal
from lamina.declare.document import LAMINA_TOML, PYPROJECT
from lamina.errors import ConfigError
from lamina.identify.tree import shown

_BARE_KEY = re.compile(r"[A-Za-z0-9_-]+")
_TEMPLATES = (".yaml", ".yml")


def render(proposal: Proposal, *, header: bool = True, prefix: str = "tool.lamina.") -> str:
    """Return the TOML text.

    Args:
        header: whether it may contain the settings of all images.
        prefix: of the tables' names; empty in lamina.toml.
    """
    shared = proposal.platform if header else None
    table = [f"[{prefix.rstrip('.')}]"] if prefix else []
    lines = [*table, f"platform = {_quoted(shared)}", ""] if shared else []
    for each in proposal.images:
        lines += [f"[{prefix}images.{_key(each.name)}]", f"dockerfile = {_quoted(each.dockerfile)}"]
        if each.context != ".":
            lines.append(f"context = {_quoted(each.context)}")
        if each.target:
            lines.append(f"target = {_quoted(each.target)}")
        if each.platform and each.platform != shared:
            lines.append(f"platform = {_quoted(each.platform)}")
        lines += _functions(each)
        lines += (f"args.{_key(name)} = {_quoted(value)}" for name, value in each.args.items())
        lines.append("")
    return "\n".join(lines)


def added_to(text: str, proposal: Proposal, file: str = PYPROJECT) -> str:
    """Return a configuration file with the proposal appended; all else is kept byte for byte.

    Args:
        text: the current content; empty without a file.
        file: its name.

    Raises:
        ConfigError: the result is not valid.
    """
    own = file == LAMINA_TOML
    has_settings = bool(text) and (own or "lamina" in tomllib.loads(text).get("tool", {}))
    end = "\r\n" if "\r\n" in text else "\n"
    gap = "" if not text else end if text.endswith("\n") else end * 2
    made = render(proposal, header=not has_settings, prefix="" if own else "tool.lamina.")
    new = text + gap + made.rstrip("\n").replace("\n", end) + end
    try:
        tomllib.loads(new)
    except tomllib.TOMLDecodeError as error:
        raise ConfigError.of(
            f"the images cannot be added to the file: {error}",
            where=file,
            hint="add the tables by hand",
        ) from None
    return new


def _functions(image: ImageProposal) -> Iterator[str]:
    """Yield the list of functions; what only the deployment tells is left open, as comments."""
    stacked = (
        f"{{ stack = {_quoted(stack)}, id = {_quoted(name)}{_command(image, name)} }}"
        for stack, name in image.stacked
    )
    known = [*(_named(image, each, each) for each in image.functions), *stacked]
    if not image.unnamed:
        yield from [f"functions = [{', '.join(known)}]"] if known else []
        return
    in_stacks = all(each.in_stack for each in image.unnamed)
    lacking = "the names of their stacks" if in_stacks else "their names"
    if any(each.in_stack and _is_program(each.where) for each in image.unnamed):
        lacking += ", and the outer constructs: Outer/Inner"
    mark = "" if known else "# "
    yield f"{mark}functions = [  # add {lacking}"
    yield from (f"  {each}," for each in known)
    for each in image.unnamed:
        stack = f'{{ stack = "...", id = {_quoted(each.id)}{_command(image, each.id)} }}'
        item = stack if each.in_stack else _named(image, "...", each.id)
        label = each.where if each.in_stack else f"{each.id}, {each.where}"
        yield f"{'  # ' if known else '#   '}{item},  # {shown(label)}"
    yield f"{mark}]"


def _named(image: ImageProposal, name: str, key: str) -> str:
    command = _command(image, key)
    return f"{{ name = {_quoted(name)}{command} }}" if command else _quoted(name)


def _command(image: ImageProposal, key: str) -> str:
    words = image.commands.get(key)
    return f", command = [{', '.join(map(_quoted, words))}]" if words else ""


def _is_program(where: str) -> bool:
    """Whether a function is declared in a CDK program, not in a template, where an id is unique."""
    return not where.rpartition(":")[0].endswith(_TEMPLATES)


def _key(name: str) -> str:
    return name if _BARE_KEY.fullmatch(name) else _quoted(name)


def _quoted(text: str | None) -> str:
    """Return a TOML string; JSON's escapes are valid in TOML."""
    return json.dumps(text or "", ensure_ascii=False)
