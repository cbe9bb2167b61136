"""The page of all commands, made from their table.

``python -m lamina.tasks.reference > docs/commands.md``
"""

from __future__ import annotations

import sys
from collections.abc import Iterator

from lamina.tasks.command import CliCommand
from lamina.tasks.commands import GROUPS

_HEAD = """# Commands

`lamina COMMAND` runs anywhere, `invoke COMMAND` where there is a `tasks.py` like this repository's. Both
take the same flags; only `lamina` takes words without a flag. Such a word is an image, a run or a reference
even if a command has that name; to run several commands in a line, use `invoke`. `lamina --help COMMAND`
prints what is below.
`lamina --print-completion-script=bash` (zsh, fish) completes commands, flags, images, runs and rules.

With `--json` standard output is one object (`schema`, `command`, `ok`, `images`, `messages`), nothing else:
[json.md](json.md) has its schemas.

## Exit codes

| exit code | means |
|---|---|
| 0 | done |
| 1 | a build failed, a function does not answer, or standard output is full |
| 2 | the configuration, a Dockerfile or the command line is wrong; nothing was started |
| 3 | nothing is selected |
| 4 | there is no engine, or a builder does not answer |
| 5 | a registry or its credentials fail, or it stands still |
| 6 | `lint`, or `--check` of `ignore`, `sync` or `bump`, found something |
| 7 | a check found something to do |
| 8 | an AWS service other than ECR fails |
| 129, 130, 143 | SIGHUP, Ctrl-C, SIGTERM |
| 141 | nobody reads the output |
"""


def commands_page() -> str:
    """Return the page as Markdown: commands in groups, each with its flags."""
    parts = [_HEAD]
    for title, commands in GROUPS.items():
        parts.append(f"\n## {title}\n")
        parts += (part for each in commands for part in _command(each))
    return "".join(parts)


def _command(command: CliCommand) -> Iterator[str]:
    yield f"\n### {command.name}\n\n{command.help}\n"
    if command.flags:
        yield "\n| flag | does |\n|---|---|\n"
    for flag in command.flags:
        words = ", or a word without a flag" if flag == command.takes_words or flag.positional else ""
        yield f"| `--{flag.name}` | {_cell(flag.help)}{words} |\n"


def _cell(text: str) -> str:
    return text.replace("|", "\\|").replace("<", "\\<")


if __name__ == "__main__":
    sys.stdout.write(commands_page())
