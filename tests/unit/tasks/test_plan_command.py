"""`lamina plan --offline` from the command line: exit codes, messages, JSON."""

from __future__ import annotations

import json
from collections.abc import Callable

import pytest

from ..conftest import Repo
from .conftest import Command

pytestmark = pytest.mark.usefixtures("receipts")
D, L, E, W = "base-receipt-dynamo", "base-receipt-label", "lambda-embedding", "lambda-word-label"


def test_a_plan_needs_no_engine_and_no_registry(lamina: Command, capsys: pytest.CaptureFixture[str]) -> None:
    assert lamina("plan", "--offline") == 0

    out = capsys.readouterr().out
    assert [line.split()[:2] for line in out.splitlines()[-5:-1]] == [
        [name, "build"] for name in (D, L, W, E)
    ]
    assert out.startswith(
        f"note: receipt_dynamo/pyproject.toml: {D}: 1 requirement is not pinned (boto3)\n  next: "
    )
    assert out.endswith("4 to build, 0 to retag, 0 to skip; not looked: --offline\n")


def test_a_check_of_a_plan_that_is_not_empty_is_7(lamina: Command) -> None:
    assert lamina("plan", "--offline", "--check") == 7


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (
            ("--shards", "0", "--format", "matrix"),
            "--shards: 0 is not a number of shards\n  allowed: 1 or more",
        ),
        (("--shards", "0"), "--shards: --format table has no shards\n  allowed: --format "),
    ],
)
def test_no_shards_are_not_taken_for_no_flag(
    lamina: Command, capsys: pytest.CaptureFixture[str], words: tuple[str, ...], says: str
) -> None:
    assert lamina("plan", "--offline", *words) == 2
    assert capsys.readouterr().err.startswith(f"error: {says}")


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
        "error: there is no image 'lambda-embeding'",
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
    kept = {file.name for file in receipts.root.glob(".lamina/**/*")}
    assert kept <= {"stat.json", "derived.json", ".gitignore"}  # caches of what files hold


def spoil_many(repo: Repo) -> dict[str, str]:
    """Images with a fault each; the message, by image."""
    faults = {
        "syntax": ("FROM scratch\nFETCH x\n", ":2: unknown instruction FETCH"),
        "parser": ("FROM scratch\nENV A\n", ":2: not a valid Dockerfile: ENV must have two arguments"),
        "flag": ("FROM scratch\nCOPY --lnk x /\n", ":2: COPY has no flag --lnk; did you mean --link?"),
        "stage": ("FROM scratch\nCOPY --from=1 x /\n", ":2: --from=1 names a stage that is not above it"),
        "variable": ("ARG B\nFROM $B\n", ":2: FROM $B names no image: build argument B has no value"),
        "reference": ("FROM A:b:c\n", ":1: "),
        "source": ("FROM scratch\nCOPY nowhere /\n", ":2: COPY nowhere: there is no such file"),
        "on-syntax": ("FROM syntax\nCOPY nowhere /\n", ":2: COPY nowhere: there is no such file"),
        "ring-a": ("FROM ring-b\n", ": images build on each other in a circle"),
        "ring-b": ("FROM ring-a\n", ""),
        "ignore": ("FROM scratch\nCOPY dockerfiles /\n", ".dockerignore:1: "),
    }
    for name, (text, _) in faults.items():
        repo.write(f"dockerfiles/{name}/Dockerfile", text)
    repo.write("dockerfiles/ignore/Dockerfile.dockerignore", "[\n")
    repo.write("dockerfiles/bytes/Dockerfile", b"\xff")
    told = {name: f"dockerfiles/{name}/Dockerfile{what}" for name, (_, what) in faults.items() if what}
    return {**told, "bytes": "dockerfiles/bytes/Dockerfile: cannot be read"}


@pytest.mark.parametrize("command", [("plan", "--offline"), ("plan", "--offline", "--image", W), ("lint",)])
def test_one_bad_dockerfile_hides_no_others_faults(
    receipts: Repo, lamina: Command, capsys: pytest.CaptureFixture[str], command: tuple[str, ...]
) -> None:
    faults = spoil_many(receipts)

    assert lamina(*command, "--json") == 2
    document = json.loads(capsys.readouterr().out)
    told = [each["text"] for each in document["messages"] if each["level"] == "error"]
    found = (each for each in document.get("findings", ()) if each["rule"] == "LAM404")
    told += [f"{each['file']}:{each['line']}: {each['message']}" for each in found]
    for name, says in faults.items():
        assert [each for each in told if each.startswith(says)], (name, told)
    assert len(told) == len(faults)


def test_an_ignore_file_that_cannot_be_read_hides_no_source(
    receipts: Repo, lamina: Command, capsys: pytest.CaptureFixture[str]
) -> None:
    receipts.image("a-ignore", "FROM scratch", "COPY dockerfiles /", ignore=["["])
    receipts.image("b-source", "FROM scratch", "COPY nowhere /")

    assert lamina("plan", "--offline") == 2
    err = capsys.readouterr().err
    assert "dockerfiles/a-ignore/Dockerfile.dockerignore:1: " in err
    assert "dockerfiles/b-source/Dockerfile:2: COPY nowhere" in err
