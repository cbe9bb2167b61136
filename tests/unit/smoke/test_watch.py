from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from threading import Event

import pytest

from lamina.errors import BuildError, ConfigError, Problem
from lamina.flow.flags import Flags
from lamina.flow.session import Session
from lamina.identify.context import CHANGED
from lamina.report.console import Screen
from lamina.smoke.file_events import ahead, matters
from lamina.smoke.syntax import syntax_fault
from lamina.smoke.watch import find_roots, is_overtaken, rounds

from ..conftest import RUNTIME, Repo

A, B, C = Path("/r/a.py"), Path("/r/b.py"), Path("/r/c.py")
NOTHING: frozenset[Path] = frozenset()


class Attempts:
    """Rounds that are recorded, and fail as scripted."""

    def __init__(self, *fine: bool) -> None:
        self.fine = list(fine)
        self.seen: list[frozenset[Path]] = []

    def __call__(self, changed: frozenset[Path]) -> bool:
        self.seen.append(changed)
        return self.fine.pop(0)


def test_one_round_at_the_start_and_one_for_each_burst() -> None:
    attempts = Attempts(True, True, True)

    waiting = list(rounds([NOTHING, frozenset({A, B}), frozenset({C})], attempts))

    assert attempts.seen == [NOTHING, {A, B}, {C}]
    assert waiting == [NOTHING] * 3


def test_an_empty_burst_starts_no_round() -> None:
    attempts = Attempts(True, True)

    list(rounds([NOTHING, NOTHING, NOTHING, frozenset({A})], attempts))

    assert attempts.seen == [NOTHING, {A}]


def test_files_of_a_round_that_did_not_build_are_in_the_next_one() -> None:
    attempts = Attempts(True, False, False, True, True)
    bursts = [NOTHING, frozenset({A}), frozenset({B}), frozenset({A}), frozenset({C})]

    waiting = list(rounds(bursts, attempts))

    assert attempts.seen == [NOTHING, {A}, {A, B}, {A, B}, {C}]
    assert waiting == [NOTHING, {A}, {A, B}, NOTHING, NOTHING]


def test_bursts_are_answered_while_one_before_is_built_and_none_is_lost() -> None:
    built, answered = Event(), Event()
    seen: list[frozenset[Path]] = []

    def at_once(burst: frozenset[Path]) -> None:
        seen.append(burst)
        if len(seen) == 1:
            assert built.wait(60)
        else:
            answered.set()

    found = ahead([NOTHING, frozenset({A}), frozenset({B}), frozenset({A, C})], at_once)

    assert next(found) == NOTHING  # the others wait for the first answer
    built.set()
    assert answered.wait(60)
    missing = {A, B, C}
    while missing:
        missing -= next(found)
    assert seen == [{A}, {B}, {A, C}]


def test_what_finding_or_answering_raises_is_raised_where_bursts_are_built() -> None:
    def at_once(burst: frozenset[Path]) -> None:
        raise ConfigError.of("the folders cannot be watched")

    with pytest.raises(ConfigError, match="cannot be watched"):
        list(zip(ahead([frozenset({A})], at_once), range(2), strict=False))


def test_a_file_that_was_saved_again_while_it_was_read_is_not_an_error() -> None:
    changed, other = Problem(what=CHANGED, where="src/a.py"), Problem(what="exit code 1")
    assert is_overtaken(BuildError(changed, changed))
    assert not is_overtaken(BuildError(changed, other))
    assert not is_overtaken(ConfigError(other))


@pytest.mark.parametrize(
    ("path", "counts"),
    [
        ("src/handler.py", True),
        ("dockerfiles/app/Dockerfile.dockerignore", True),
        ("lamina.lock", True),
        (".lamina/runs/1/bake-1.json", False),
        (".git/index", False),
        ("src/__pycache__/handler.cpython-313.pyc", False),
        ("src/app.egg-info/PKG-INFO", False),
        ("src/.handler.py.swp", False),
        ("src/handler.py~", False),
        ("src/4913", False),
    ],
)
def test_state_of_tools_and_drafts_of_editors_start_no_round(path: str, counts: bool) -> None:
    assert matters(Path("/home/.venv/repo") / path, [Path("/home/.venv/repo")]) is counts


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("def handler(event, context):\n    return event\n", None),
        ('PATTERN = "\\d"\n', None),
        ("import os\n\ndef handler(event, context)\n    return event\n", 3),
    ],
    ids=["fine", "warned of", "broken"],
)
def test_a_file_that_does_not_parse_is_reported_with_its_line(
    tmp_path: Path, text: str, line: int | None
) -> None:
    file = tmp_path / "handler.py"
    file.write_text(text)

    fault = syntax_fault(file)

    assert (fault.lineno if fault else None) == line
    assert syntax_fault(tmp_path / "gone.py") is None


@pytest.fixture
def roots(monkeypatch: pytest.MonkeyPatch) -> Callable[[Repo], set[str]]:
    def find(repo: Repo) -> set[str]:
        session = Session(Flags(), Screen(env={}), root=repo.root)
        return {each.relative_to(repo.root.parent).as_posix() for each in find_roots(session)}

    return find


def test_the_project_and_contexts_outside_of_it_are_watched(
    repo: Repo, roots: Callable[[Repo], set[str]]
) -> None:
    repo.image("app", f"FROM {RUNTIME}", "COPY --from=shared x /", "COPY --from=inside x /")
    for folder in ("shared", "repo/inside"):
        (repo.root.parent / folder).mkdir()
    repo.config('[tool.lamina.images.app]\ncontexts = { shared = "../shared", inside = "inside" }\n')
    assert roots(repo) == {"repo", "shared"}

    repo.config("[tool.lamina\n")
    assert roots(repo) == {"repo"}
