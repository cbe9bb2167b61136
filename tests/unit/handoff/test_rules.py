from __future__ import annotations

from dataclasses import replace

import pytest

from lamina.declare.functions import Function
from lamina.errors import ConfigError, Problem
from lamina.handoff.rules import (
    DesiredOutput,
    ImageOutput,
    Recorded,
    by_digest,
    by_tag,
    known_host,
    read_recorded,
)
from lamina.refs import Reference

NAME, HOST, DIGEST = "lambda-embedding", "registry.example.com", "sha256:" + "1" * 64
OLD, NEW = "sha256:" + "a" * 64, "sha256:" + "b" * 64
REPOSITORY = Reference(host=HOST, repository=f"{NAME}-dev")
RECORDED = Recorded(
    image=NAME,
    fingerprint=OLD,
    ref=Reference.parse(f"{REPOSITORY.name}:sha-aaaaaaaaaaaa@{DIGEST}"),
    pushed=True,
)
FUNCTIONS = (Function(name="embed"), Function(name="query", command=("handler.query",)))
WANTED = DesiredOutput(image=NAME, repository=REPOSITORY, functions=FUNCTIONS, fingerprint=OLD)
ACCOUNT, OTHER = "111111111111", "222222222222"


def ecr(account: str) -> str:
    return f"{account}.dkr.ecr.eu-west-1.amazonaws.com"


def told(wanted: DesiredOutput, recorded: Recorded | None) -> str:
    found = by_digest(wanted, recorded)
    assert isinstance(found, Problem)
    return str(found)


def test_a_pushed_image_is_given_by_digest_with_all_its_functions() -> None:
    assert by_digest(WANTED, RECORDED) == ImageOutput(
        image=NAME,
        ref=Reference.parse(f"{HOST}/{NAME}-dev@{DIGEST}"),
        tag="sha-aaaaaaaaaaaa",
        functions=FUNCTIONS,
    )


def test_a_tag_needs_no_record() -> None:
    found = by_tag(WANTED, NEW)

    assert (str(found.ref), found.functions) == (f"{HOST}/{NAME}-dev:sha-bbbbbbbbbbbb", FUNCTIONS)


@pytest.mark.parametrize("host", [HOST, None])
def test_an_unknown_host_offline_is_that_of_the_push(host: str | None) -> None:
    found = by_digest(replace(WANTED, repository=replace(REPOSITORY, host=host)), RECORDED)

    assert isinstance(found, ImageOutput)
    assert found.ref.host == HOST


@pytest.mark.parametrize(
    ("recorded", "what"),
    [
        (None, f"{NAME} is not recorded: it was not built in this checkout"),
        (
            replace(RECORDED, pushed=False),
            f"{NAME} (sha-aaaaaaaaaaaa) is built but was not pushed from this checkout",
        ),
        (
            replace(RECORDED, ref=Reference.parse(f"{NAME}-dev:sha-aaaaaaaaaaaa@{DIGEST}")),
            f"{NAME} (sha-aaaaaaaaaaaa) is built but was not pushed from this checkout",
        ),
        (
            replace(RECORDED, ref=Reference.parse(f"{HOST}/{NAME}-prod:sha-aaaaaaaaaaaa@{DIGEST}")),
            f"{NAME} was pushed as {HOST}/{NAME}-prod, not as {HOST}/{NAME}-dev",
        ),
        (
            replace(RECORDED, ref=Reference.parse(f"other.example.com/{NAME}-dev:sha-a@{DIGEST}")),
            f"{NAME} was pushed as other.example.com/{NAME}-dev, not as {HOST}/{NAME}-dev",
        ),
    ],
)
def test_an_image_without_an_output_names_the_command(recorded: Recorded | None, what: str) -> None:
    stale = replace(WANTED, fingerprint=None, flags=("--stack dev",))

    assert told(stale, recorded) == (
        f".lamina/manifest.json: {what}\n  next: invoke build-all --push --image {NAME} --stack dev"
    )


def test_a_manifest_behind_the_worktree_says_what_changed_since() -> None:
    changes = ("handler.py modified", "b added", "c added", "d added", "e added")

    assert told(replace(WANTED, fingerprint=NEW, changes=changes), RECORDED) == (
        f".lamina/manifest.json: the manifest is behind the worktree: {NAME} was pushed as sha-aaaaaaaaaaaa, "
        "and is sha-bbbbbbbbbbbb now\n  handler.py modified\n  b added\n  c added\n  and 2 more\n"
        f"  next: invoke build-all --push --image {NAME}; to use the old one: --allow-stale, "
        "allow_stale=True"
    )


def test_a_damaged_entry_is_none() -> None:
    entry = {"image": NAME, "fingerprint": OLD, "ref": str(RECORDED.ref), "pushed": True}

    assert read_recorded([entry]) == {NAME: RECORDED}
    for damage in ({"ref": None}, {"ref": "x@y"}, {"ref": 3}):
        assert read_recorded([{**entry, **damage}]) == {}
    assert read_recorded([{"image": NAME}]) == {}
    assert not read_recorded([{**entry, "pushed": "yes"}])[NAME].pushed


def pushed(image: str, host: str, stack: str = "dev") -> Recorded:
    ref = Reference(host=host, repository=f"{image}-{stack}", tag="sha-a", digest=DIGEST)
    return replace(RECORDED, image=image, ref=ref)


REPOSITORIES = {"one": "one-dev", "two": "two-dev"}


def test_the_host_of_ecr_is_that_of_the_last_push_of_this_stack() -> None:
    one, two = pushed("one", ecr(ACCOUNT)), pushed("two", ecr(ACCOUNT))

    assert known_host((one, two), REPOSITORIES, None) == ecr(ACCOUNT)
    assert known_host((one, two), REPOSITORIES, ACCOUNT) == ecr(ACCOUNT)
    assert known_host((one, pushed("two", ecr(OTHER), "prod")), REPOSITORIES, None) == ecr(ACCOUNT)
    assert known_host((one, pushed("two", ecr(OTHER))), REPOSITORIES, OTHER) == ecr(OTHER)
    assert known_host((pushed("one", "127.0.0.1:5000"),), REPOSITORIES, ACCOUNT) == "127.0.0.1:5000"


@pytest.mark.parametrize(
    ("recorded", "account", "what"),
    [
        ((), None, "nothing of this stack"),
        ((pushed("one", ecr(ACCOUNT), "prod"),), None, "nothing of this stack"),
        ((replace(pushed("one", ecr(ACCOUNT)), pushed=False),), None, "nothing of this stack"),
        ((pushed("one", ecr(ACCOUNT)),), OTHER, "nothing of this stack"),
        (
            (pushed("one", ecr(ACCOUNT)), pushed("two", ecr(OTHER))),
            None,
            f"pushes went to {ecr(ACCOUNT)}, {ecr(OTHER)}",
        ),
    ],
)
def test_a_host_is_never_made_up(recorded: tuple[Recorded, ...], account: str | None, what: str) -> None:
    with pytest.raises(ConfigError) as caught:
        known_host(recorded, REPOSITORIES, account)

    assert what in str(caught.value)
    assert '.amazonaws.com" in [tool.lamina.ecr]' in str(caught.value)
    assert "invoke build-all --push" in str(caught.value)
