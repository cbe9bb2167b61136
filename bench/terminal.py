"""The terminal of the README: real commands on a copy of the sample, drawn as ``docs/terminal.svg``.

``python -m bench.terminal`` builds the sample (minutes, where nothing is in the engine yet), edits a handler
and records what the commands print. The notice of the stand-in runtime is left out: it is about the machine.
"""

from __future__ import annotations

import os
import pty
import shutil
import struct
import subprocess
import sys
import tempfile
import termios
from collections.abc import Iterable, Iterator
from fcntl import ioctl
from html import escape
from pathlib import Path

from rich.color import ColorType
from rich.console import Console
from rich.style import Style
from rich.text import Text

ROOT = Path(__file__).parents[1]
PICTURE = ROOT / "docs/terminal.svg"
HANDLER = "receipts/embedding_step_functions/handler.py"
COMMANDS = (
    f'echo "# $(date)" >> {HANDLER}',
    "lamina plan",
    "lamina why lambda-embedding",
    "lamina build lambda-embedding",
    "lamina build-all | grep built",
)
COLUMNS = 128
_NOTICES = ("STAND-IN RUNTIME", "it is not AWS's image")
_COPIED = ("dockerfiles", "receipts", "pyproject.toml", "lamina.lock", "tasks.py")
_WIDTH, _HEIGHT = 7.8, 18
"""Pixels of a character."""
_MARGIN, _TOP = 18, 44
_NAMES = ("black", "red", "green", "yellow", "blue", "magenta", "cyan", "white")
_TITLE = "A handler is edited: plan names its image and why; that one is built, then nothing is left to do"
_STYLE = """
text {
  font: 13px ui-monospace, "SF Mono", "Cascadia Mono", Menlo, Consolas, "DejaVu Sans Mono", monospace;
  fill: #24292f; white-space: pre;
}
.back { fill: #f6f8fa; stroke: #d0d7de; } .dot { fill: #c4ccd4; }
.bold { font-weight: 600; } .dim { fill: #57606a; }
.red { fill: #b3261e; } .green { fill: #1a6b33; } .yellow { fill: #8a5a00; } .blue { fill: #0550ae; }
.magenta { fill: #8250df; } .cyan { fill: #0f6674; }
@media (prefers-color-scheme: dark) {
  text { fill: #e6edf3; } .dim { fill: #9198a1; }
  .back { fill: #0d1117; stroke: #30363d; } .dot { fill: #484f58; }
  .red { fill: #ff8a80; } .green { fill: #7ee787; } .yellow { fill: #e3b341; } .blue { fill: #79c0ff; }
  .magenta { fill: #d2a8ff; } .cyan { fill: #76e3ea; }
}
"""


def main() -> None:
    """Build the sample, run the commands, and write the picture."""
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder, "monorepo")
        root.mkdir()
        for name in _COPIED:
            source = ROOT / name
            if source.is_dir():
                shutil.copytree(source, root / name)
            elif source.exists():
                shutil.copy(source, root)
        record("lamina build-all", root)
        (root / ".lamina/cold.json").unlink(
            missing_ok=True
        )  # what is saved depends on how busy the machine was
        lines = [line for command in COMMANDS for line in shown(command, record(command, root))]
    PICTURE.write_text(draw(lines), "utf-8")
    sys.stdout.write(f"{PICTURE}\n")


def record(command: str, root: Path) -> str:
    """Run a command on a terminal without a live view, and return what it prints. Raises if it fails."""
    ours, theirs = pty.openpty()
    ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 50, COLUMNS, 0, 0))
    path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    env = {**os.environ, "PATH": path, "TERM": "xterm-256color", "BUILDKIT_PROGRESS": "plain"}
    with subprocess.Popen(
        ("/bin/sh", "-c", command), cwd=root, stdin=theirs, stdout=theirs, stderr=theirs, env=env
    ) as program:
        os.close(theirs)
        printed = b"".join(_read(ours))
    os.close(ours)
    if program.returncode:
        raise SystemExit(f"{command} ended with {program.returncode}\n{printed.decode()}")
    return printed.decode()


def _read(terminal: int) -> Iterator[bytes]:
    """Yield what is written to a terminal until its last writer has gone."""
    while True:
        try:
            part = os.read(terminal, 65536)
        except OSError:
            return
        if not part:
            return
        yield part


def shown(command: str, printed: str) -> Iterator[Text]:
    """Yield the lines of a command: as it is typed, what it prints, and an empty one."""
    yield Text.assemble(("$ ", "dim"), (command, "bold"))
    lines = [Text.from_ansi(line) for line in printed.replace("\r\n", "\n").rstrip("\n").split("\n")]
    yield from (line for line in lines if line.plain and not line.plain.startswith(_NOTICES))
    yield Text("")


def draw(lines: Iterable[Text]) -> str:
    """Return a picture of the lines, for light and dark pages."""
    console = Console(width=COLUMNS * 2, color_system="truecolor")
    rows = [*lines]
    while rows and not rows[-1].plain:
        rows.pop()
    width, height = COLUMNS * _WIDTH + 2 * _MARGIN, _TOP + len(rows) * _HEIGHT + _MARGIN
    size = f'viewBox="0 0 {width:.0f} {height}"'
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" {size} role="img" xml:space="preserve">',
        f"<title>{escape(_TITLE)}</title>",
        f"<style>{_STYLE}</style>",
        f'<rect class="back" x="0.5" y="0.5" width="{width - 1:.0f}" height="{height - 1}" rx="10"/>',
        *(f'<circle class="dot" cx="{20 + 18 * at}" cy="20" r="5"/>' for at in range(3)),
    ]
    for number, row in enumerate(rows):
        column, top = 0, _TOP + number * _HEIGHT + 10
        for segment in row.render(console):
            text = segment.text.rstrip("\n")
            if text.strip():
                parts.append(_span(text, column, top, segment.style))
            column += len(text)
    return "\n".join((*parts, "</svg>\n"))


def _span(text: str, column: int, top: int, style: Style | None) -> str:
    """Return a text at its place. Its length is given, for a reader's font may be wider."""
    kept = text.rstrip()
    start = len(kept) - len(kept.lstrip())
    kept = kept.lstrip()
    names = " ".join(_classes(style)) if style else ""
    kind = f' class="{names}"' if names else ""
    left, length = _MARGIN + (column + start) * _WIDTH, len(kept) * _WIDTH
    return f'<text x="{left:.1f}" y="{top}" textLength="{length:.1f}"{kind}>{escape(kept)}</text>'


def _classes(style: Style) -> Iterator[str]:
    if style.bold:
        yield "bold"
    if style.dim:
        yield "dim"
    if style.color and style.color.type is ColorType.STANDARD and style.color.number is not None:
        yield _NAMES[style.color.number % 8]


if __name__ == "__main__":
    main()
