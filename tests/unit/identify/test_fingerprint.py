"""The fingerprint's specification: golden build inputs, and inputs that must never be equal."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from lamina.identify.fingerprint import SCHEMA, BuildInputs, content_tag, read_requirements

from ..conftest import RUNTIME, Repo

GOLDEN = Path(__file__).with_name("golden")
CONFIG = """\
[tool.lamina.images.app]
args = { MODEL = "small" }
contexts = { vendor = "third/party" }
"""
DOCKERFILE = """\
# syntax=docker/dockerfile:1
# A comment.
ARG PYTHON=3.13
FROM scratch AS unused
COPY nowhere /

FROM --platform=$BUILDPLATFORM public.ecr.aws/lambda/python:${PYTHON} AS deps
ARG MODEL
ARG NONE
ARG TARGETPLATFORM
RUN --mount=type=secret,id=token --mount=type=bind,source=list.txt,target=/list.txt \\
    # a comment
    install \\

    /list.txt
ONBUILD COPY --chown=1 more /

FROM base:stable AS final
ENV A=b C="d e"
ARG MODEL=large
ARG MODEL
COPY --link --from=deps ["/out", "/"]
COPY --from=vendor lib /lib
COPY src /var/task/
COPY <<"EOF" /etc/motd
welcome $A
EOF
CMD ["handler.handler"]
"""


@pytest.fixture
def golden(repo: Repo) -> Repo:
    repo.config(CONFIG)
    repo.image("base", f"FROM {RUNTIME}")
    repo.image("app", DOCKERFILE.rstrip(), ignore=["**/*.log"])
    repo.write("list.txt", "boto3\n")
    repo.write("src/handler.py", "def handler(event, context): ...\n")
    repo.write("src/run.sh", "#!/bin/sh\n", executable=True)
    repo.write("src/naïve name.txt", "ü\n")
    repo.write("src/two\nlines", b"\xff\x00")
    repo.write("src/noise.log", "noise\n")
    repo.folder("src/empty")
    repo.link("src/link", "../list.txt")
    repo.write("third/party/lib/lib.py", "lib = 1\n")
    repo.write("src/requirements.txt", "pydantic>=2\n")
    return repo


def test_the_golden_inputs(golden: Repo) -> None:
    """If this fails, every image of every user is rebuilt. Then raise SCHEMA and rename the golden file."""
    image = golden.images("app")["app"]
    expected = json.loads((GOLDEN / f"schema-{SCHEMA}.json").read_text("utf-8"))

    assert image.inputs.document() == expected["bill"]
    assert image.fingerprint == expected["fingerprint"]
    assert image.tag == expected["tag"]


def test_the_canonical_form_can_be_made_by_hand() -> None:
    expected = json.loads((GOLDEN / f"schema-{SCHEMA}.json").read_text("utf-8"))
    hashed = {key: value for key, value in expected["bill"].items() if key != "requirements"}
    canonical = json.dumps(hashed, sort_keys=True, separators=(",", ":")).encode("ascii")

    assert expected["fingerprint"] == "sha256:" + hashlib.sha256(canonical).hexdigest()


def test_a_tag_is_the_head_of_the_fingerprint() -> None:
    assert content_tag("sha256:" + "0123456789ab" + "f" * 52) == "sha-0123456789ab"


def test_inputs_goes_through_json_and_back(golden: Repo) -> None:
    inputs = golden.images("app")["app"].inputs
    again = BuildInputs.from_document(json.loads(json.dumps(inputs.document())))

    assert again == inputs
    assert again is not None
    assert again.fingerprint == inputs.fingerprint


@pytest.mark.parametrize(
    "document",
    [
        None,
        [],
        "x",
        {},
        {"schema": SCHEMA},
        {"schema": SCHEMA + 1},
        {"schema": SCHEMA, "platform": 1, "args": 3},
    ],
)
def test_inputs_of_another_schema_or_a_damaged_one_is_none(document: Any) -> None:
    assert BuildInputs.from_document(document) is None


@pytest.mark.parametrize(
    "damage",
    [
        {"files": None},
        {"files": {"": "abc"}},
        {"files": {"": [["a", "b"]]}},
        {"files": {"": {"a": 1}}},
        {"parents": None},
        {"parents": {"base": None}},
        {"bases": ["a"]},
        {"args": {"A": [1]}},
        {"args": None},
        {"platform": []},
        {"target": {}},
        {"instructions": [["FROM"]]},
        {"secrets": [None]},
        {"requirements": {"a": [{}]}},
    ],
)
def test_inputs_with_a_part_of_another_kind_are_none(golden: Repo, damage: dict[str, Any]) -> None:
    document = golden.images("app")["app"].inputs.document()

    assert BuildInputs.from_document({**document, **damage}) is None


def test_the_requirements_are_not_hashed_twice(golden: Repo) -> None:
    inputs = golden.images("app")["app"].inputs
    document = {**inputs.document(), "requirements": {}}

    without = BuildInputs.from_document(document)

    assert inputs.requirements == {"src/requirements.txt": ("pydantic>=2",)}
    assert without is not None
    assert without.fingerprint == inputs.fingerprint


def test_credentials_in_a_requirement_are_left_out() -> None:
    content = b"lib @ https://me:hush@git.example/lib.whl\nother @ git+ssh://git@git.example/o.git@v1\n"

    assert read_requirements("requirements.txt", content) == (
        "lib @ https://***@git.example/lib.whl",
        "other @ git+ssh://***@git.example/o.git@v1",
    )


# Pairs that a careless canonical form would take for one

PAIRS = {
    "two pairs or one": ("ENV A=b C=d", "ENV A b C d"),
    "exec or shell": ('CMD ["a", "b"]', "CMD a b"),
    "one word or two": ('COPY ["a b", "c", "/"]', 'COPY ["a", "b c", "/"]'),
    "a flag or none": ("COPY --link a b /", "COPY a b /"),
    "a flag's value": ("COPY --chmod=644 a /", "COPY --chmod=755 a /"),
    "a flag in ONBUILD": ("ONBUILD COPY --chown=1 a /", "ONBUILD COPY --chown=2 a /"),
    "a heredoc in ONBUILD": ("ONBUILD COPY <<E /\na\nE", "ONBUILD COPY <<E /\nb\nE"),
    "a heredoc's name": ("COPY <<E /x\na\nE", "COPY <<F /x\na\nF"),
    "a heredoc's body": ("RUN <<E\na\nE", "RUN <<E\nb\nE"),
    "tabs of a heredoc": ("RUN <<-E\n\ta\nE", "RUN <<E\n\ta\nE"),
    "the first of two values": ("ARG X=1\nRUN a\nARG X=2", "ARG X=3\nRUN a\nARG X=2"),
    "the order of two values": ("ARG X=1\nRUN a\nARG X=2", "ARG X=2\nRUN a\nARG X=1"),
    "the same value again": ("ARG X=1\nARG X=1\nARG X=2", "ARG X=1\nARG X=2\nARG X=2"),
    "no value or an empty one": ("ARG X", "ARG X="),
    "the words of a value from the base": ("ARG X=$ROOT/a", "ARG X=$ROOT/b"),
    "white space in a shell form": ("RUN echo 'a  b'", "RUN echo 'a b'"),
    "order": ("RUN a\nRUN b", "RUN b\nRUN a"),
    "case": ("RUN a", "RUN A"),
    "a label's quotes": ('LABEL a="b c"', 'LABEL a="b  c"'),
}


@pytest.mark.parametrize(("one", "other"), PAIRS.values(), ids=PAIRS)
def test_instructions_that_differ_have_inputs_that_differ(repo: Repo, one: str, other: str) -> None:
    for name in ("a", "b", "c", "a b", "b c"):
        repo.write(name, "same")

    def fingerprint(lines: str) -> str:
        repo.image("app", "FROM python", lines, ignore=["*"])
        return repo.fingerprints()["app"]

    assert fingerprint(one) != fingerprint(other)


def test_an_argument_of_a_stage_platform_counts(repo: Repo) -> None:
    def fingerprint(platform: str) -> str:
        repo.image("app", f"ARG WHERE={platform}", "FROM --platform=$WHERE python")
        return repo.fingerprints()["app"]

    assert fingerprint("linux/amd64") != fingerprint("linux/arm64")


SAME = {
    "line breaks": ("RUN a \\\n  b", "RUN a   b"),
    "case of a name": ("RUN a", "run a"),
    "spaces in JSON": ('CMD ["a", "b"]', 'CMD [ "a","b" ]'),
    "blank lines": ("RUN a\nRUN b", "RUN a\n\n\nRUN b"),
    "quotes of an argument": ("ARG X=1", 'ARG X="1"'),
    "a variable for a value": ("ARG Y=1\nARG X=1", "ARG Y=1\nARG X=$Y"),
}


@pytest.mark.parametrize(("one", "other"), SAME.values(), ids=SAME)
def test_instructions_that_mean_the_same_have_one_inputs(repo: Repo, one: str, other: str) -> None:
    def fingerprint(lines: str) -> str:
        repo.image("app", "FROM scratch", lines)
        return repo.fingerprints()["app"]

    assert fingerprint(one) == fingerprint(other)


def _as_link(repo: Repo) -> None:
    repo.remove("src/handler.py")
    repo.link("src/handler.py", "same")


@pytest.mark.parametrize(
    "mutate",
    [_as_link, lambda repo: (repo.remove("src/handler.py"), repo.folder("src/handler.py"))],
)
def test_the_kind_of_a_file_counts(app: Repo, mutate: Callable[[Repo], object]) -> None:
    app.write("src/handler.py", "same")
    before = app.fingerprints()
    mutate(app)

    assert app.fingerprints() != before


# Requirements, told in reasons


@pytest.mark.parametrize(
    ("path", "content", "expected"),
    [
        ("a/pyproject.toml", b'[project]\ndependencies = ["a>=1", "b"]\n', ("a>=1", "b")),
        (
            "pyproject.toml",
            b'[project]\ndependencies = ["a"]\n[project.optional-dependencies]\nx = ["c"]\ny = ["d; e>3"]\n',
            ("a", "c ; extra == 'x'", "d; e>3 and extra == 'y'"),
        ),
        ("pyproject.toml", b"[tool.x]\n", ()),
        ("pyproject.toml", b"[project\n", None),
        ("pyproject.toml", b"project = 3\n", None),
        (
            "requirements.txt",
            b"# a\na==1 # why\n\n-r other.txt\nb; python_version > '3'\n",
            ("a==1", "b; python_version > '3'"),
        ),
        ("dev-requirements.in", b"a\n", ("a",)),
        ("requirements_dev.txt", b"a\n", ("a",)),
        ("constraints.txt", b"a==1\n", ("a==1",)),
        ("requirements.txt", b"\xff", None),
        ("notes.txt", b"a\n", None),
        ("handler.py", b"a\n", None),
    ],
)
def test_requirements_are_read_by_the_kind_of_file(
    path: str, content: bytes, expected: tuple[str, ...] | None
) -> None:
    assert read_requirements(path, content) == expected


def test_a_reproducible_build_is_the_same_image_unless_the_dockerfile_asks_for_the_time(app: Repo) -> None:
    usual = app.fingerprints()
    app.flags["reproducible"] = True
    assert app.fingerprints() == usual

    app.image(
        "app", f"FROM {RUNTIME}", "ARG SOURCE_DATE_EPOCH", "COPY src /var/task/", 'CMD ["handler.handler"]'
    )
    asked = app.fingerprints()
    app.flags["reproducible"] = False
    assert app.fingerprints() != asked
