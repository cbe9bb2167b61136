"""Write a proposal as TOML, by itself or at the end of a ``pyproject.toml``. Pure."""

from __future__ import annotations

import json
import re
import tomllib

from lamina.adopt.proposal import Proposal
from lamina.errors import ConfigError
from lamina.identify.tree import shown

_UNNAMED = 'its name is known once it is deployed: functions = ["..."]'
_BARE_KEY = re.compile(r"[A-Za-z0-9_-]+")


def render(proposal: Proposal, *, header: bool = True) -> str:
    """Return the TOML text. header: whether it may contain the table ``[tool.lamina]`` itproposal."""
    shared = proposal.platform if header else None
    lines = ["[tool.lamina]", f"platform = {_quoted(shared)}", ""] if shared else []
    for each in proposal.images:
        lines += [f"[tool.lamina.images.{_key(each.name)}]", f"dockerfile = {_quoted(each.dockerfile)}"]
        if each.context != ".":
            lines.append(f"context = {_quoted(each.context)}")
        if each.target:
            lines.append(f"target = {_quoted(each.target)}")
        if each.platform and each.platform != shared:
            lines.append(f"platform = {_quoted(each.platform)}")
        lines += (f"# {shown(unnamed)}: {_UNNAMED}" for unnamed in each.unnamed)
        if each.functions:
            lines.append(f"functions = [{', '.join(map(_quoted, each.functions))}]")
        lines += (f"args.{_key(name)} = {_quoted(value)}" for name, value in each.args.items())
        lines.append("")
    return "\n".join(lines)


def added_to(text: str, proposal: Proposal) -> str:
    """Return a ``pyproject.toml`` with the proposal appended; all else is kept byte for byte.

    text: the current content; empty without a file. Raises ConfigError if the result is not valid.
    """
    has_table = "lamina" in tomllib.loads(text).get("tool", {}) if text else False
    end = "\r\n" if "\r\n" in text else "\n"
    gap = "" if not text else end if text.endswith("\n") else end * 2
    new = text + gap + render(proposal, header=not has_table).rstrip("\n").replace("\n", end) + end
    try:
        tomllib.loads(new)
    except tomllib.TOMLDecodeError as error:
        raise ConfigError.of(
            f"the images cannot be added to the file: {error}",
            where="pyproject.toml",
            hint="add the tables by hand",
        ) from None
    return new


def _key(name: str) -> str:
    return name if _BARE_KEY.fullmatch(name) else _quoted(name)


def _quoted(text: str | None) -> str:
    """Return a TOML string; JSON's escapes are valid in TOML."""
    return json.dumps(text or "", ensure_ascii=False)
