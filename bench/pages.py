"""Write the figures into the documentation: only the text between each pair of markers is replaced."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path

from bench import table
from bench.rows import BenchReport
from lamina.errors import ConfigError
from lamina.files import write_atomic

README = "README.md"
PAGE = "docs/benchmark.md"
CHART = "docs/benchmark"
_MARKERS = re.compile(r"(?s)(<!-- bench:(?P<name>[a-z-]+) -->\n).*?(<!-- bench:end -->)")


def sections(report: BenchReport) -> Mapping[str, str]:
    """Return marker -> the text of its section."""
    return {
        "machine": table.machine(report),
        "short": table.short(report),
        "cases": table.by_case(report),
        "about": table.about_cases(),
        "goals": table.judged(report),
        "full": table.full(report),
        "not-run": "\n".join(f"- {line}" for line in table.reasons(report)),
    }


def fill(text: str, parts: Mapping[str, str], *, where: str) -> str:
    """Return a page with its marked sections replaced. Raises ConfigError for an unknown marker, or none."""
    names = [found.group("name") for found in _MARKERS.finditer(text)]
    if unknown := [name for name in names if name not in parts]:
        raise ConfigError.of(
            f"nothing is called {unknown[0]!r} here", where=where, allowed=", ".join(sorted(parts))
        )
    if not names:
        raise ConfigError.of(
            "there is no marked section", where=where, hint="<!-- bench:short --> … <!-- bench:end -->"
        )
    return _MARKERS.sub(lambda found: f"{found[1]}{parts[found['name']]}\n{found[3]}", text)


def write_pages(root: Path, report: BenchReport) -> tuple[Path, ...]:
    """Write the figures into the README and the benchmark page. Return the files. Raises ConfigError."""
    parts = sections(report)
    pages = {root / name: name for name in (README, PAGE)}
    filled = {}
    for page, name in pages.items():
        if not page.is_file():
            raise ConfigError.of(f"there is no {name} to write the figures into", where=str(root))
        filled[page] = fill(page.read_text("utf-8"), parts, where=name)
    for page, text in filled.items():
        write_atomic(page, text)
    return tuple(filled)


def markdown(report: BenchReport) -> str:
    """Return the whole report as a page of its own, ``bench.md``."""
    parts = sections(report)
    blocks = (parts["machine"], parts["cases"], parts["goals"], parts["full"], parts["not-run"])
    return "\n\n".join(block for block in blocks if block) + "\n"
