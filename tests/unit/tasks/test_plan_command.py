"""`lamina plan --offline` from the command line: exit codes, messages, JSON."""

from __future__ import annotations

import json
from collections.abc import Callable

import pytest

from ..conftest import Repo
from .conftest import Command

pytestmark = pytest.mark.usefixtures("receipts")
D, L, E, W = "base-receipt-dynamo", "base-receipt-label", "lambda-embedding", "lambda-word-label"


def test_a_plan_needs_nobody(lamina: Command, capsys: pytest.CaptureFixture[str]) -> None:
    assert lamina("plan", "--offline") == 0

    out = capsys.readouterr().out
    assert [line.split()[:2] for line in out.splitlines()[-5:-1]] == [
        [name, "build"] for name in (D, L, W, E)
    ]
    assert out.startswith(
        f"note: receipt_dynamo/pyproject.toml: {D}: 1 requirement is not pinned (boto3)\n  next: add a "
    )
    assert out.endswith("4 to build, 0 to retag, 0 to skip; not looked: --offline\n")


def test_a_check_of_a_plan_that_is_not_empty_is_7(lamina: Command) -> None:
    assert lamina("plan", "--offline", "--check") == 7


def test_json_is_all_that_standard_output_gets(lamina: Command, capsys: pytest.CaptureFixture[str]) -> None:
    assert lamina("plan", "--offline", "--json", "--image", E) == 0

    document = json.loads(capsys.readouterr().out)
    assert (document["schema"], document["command"], document["ok"]) == (1, "plan", True)
    assert [each["name"] for each in document["images"]] == [D, L, E]


BAD: dict[str, tuple[Callable[[Repo], object], tuple[str, ...], int, str]] = {
    "an unknown key": (
        lambda repo: repo.config('[tool.lamina]\nregistri = "x"\n'),
        (),
        2,
        "error: pyproject.toml:2: unknown key tool.lamina.registri; did you mean registry?",
    ),
    "an unknown image": (
        lambda repo: None,
        ("--image", "lambda-embeding"),
        3,
        "error: --image: there is no image 'lambda-embeding'",
    ),
    "a circle": (
        lambda repo: repo.image(D, f"FROM {E}"),
        (),
        2,
        "images build on each other in a circle: ",
    ),
    "a syntax error": (
        lambda repo: repo.image(W, "FROM scratch", "FETCH x"),
        (),
        2,
        f"error: dockerfiles/{W}/Dockerfile:2: unknown instruction FETCH",
    ),
    "a missing source": (
        lambda repo: repo.move("embedding/handler.py", "embedding/handlers.py"),
        (),
        2,
        f"error: dockerfiles/{E}/Dockerfile:3: COPY embedding/handler.py: there is no such file",
    ),
    "an ignored source": (
        lambda repo: repo.write(".dockerignore", "embedding\n"),
        (),
        2,
        f"dockerfiles/{E}/Dockerfile:3: COPY embedding/handler.py: line 1 `embedding` of .dockerignore hides",
    ),
    "a bad platform": (
        lambda repo: None,
        ("--platform", "arm"),
        2,
        "error: --platform: 'arm' is not a platform",
    ),
}


@pytest.mark.parametrize(("spoil", "words", "code", "says"), BAD.values(), ids=BAD)
def test_bad_input_ends_with_its_code_and_says_what_is_wrong(
    receipts: Repo,
    lamina: Command,
    capsys: pytest.CaptureFixture[str],
    spoil: Callable[[Repo], object],
    words: tuple[str, ...],
    code: int,
    says: str,
) -> None:
    spoil(receipts)

    assert lamina("plan", "--offline", *words) == code
    assert says in capsys.readouterr().err
    assert lamina("plan", "--offline", "--json", *words) == code
    document = json.loads(capsys.readouterr().out)
    assert document["ok"] is False
    assert says.removeprefix("error: ") in document["messages"][-1]["text"]
    assert not (receipts.root / ".lamina").exists()
