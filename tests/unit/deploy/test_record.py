from __future__ import annotations

from pathlib import Path

import pytest

from lamina.deploy.record import DeployRecord, Note, Ran, keep_record, read_note, read_records
from lamina.deploy.targets import kind_of
from lamina.errors import ConfigError

OLD, NEW = (f"host/app@sha256:{each * 64}" for each in "12")


def record(run: str, stack: str = "dev", alias: str | None = None) -> DeployRecord:
    return DeployRecord(
        run=run,
        command="deploy",
        stack=stack,
        started="2026-01-02T03:04:05+00:00",
        before={"one": Ran(uri=OLD, version="1")},
        after={"one": Ran(uri=NEW, command=("app.new",), version="2")},
        alias=alias,
        caller="arn:aws:iam::123456789012:user/x",
        commit="c0ffee",
    )


def test_records_are_read_as_they_were_kept_the_newest_first(tmp_path: Path) -> None:
    for each in (record("1"), record("2"), record("3", stack="prod"), record("4", alias="live")):
        keep_record(tmp_path, each)
    (tmp_path / "deploys/5.json").write_text("{half")

    assert list(read_records(tmp_path, "dev", None)) == [record("2"), record("1")]
    assert list(read_records(tmp_path, "dev", "live")) == [record("4", alias="live")]


def test_only_the_latest_records_stay(tmp_path: Path) -> None:
    for number in range(103):
        keep_record(tmp_path, record(f"{number:03}"))

    assert [each.run for each in read_records(tmp_path, "dev", None)][-1] == "003"


@pytest.mark.parametrize(
    "note",
    [
        Note(run="20260102T030405-1a2b3c", tag="sha-0123456789ab"),
        Note(run="20260102T030405-1a2b3c", tag="sha-0123456789ab", before="12", commit="c0ffee"),
        Note(
            run="20260102T030405-1a2b3c",
            tag="sha-0123456789ab",
            alias="live-" * 25,
            version="13",
            before="12",
            commit="c0ffeec0ffee",
        ),
    ],
)
def test_a_version_is_described_and_understood(note: Note) -> None:
    assert read_note(str(note)) == note
    assert len(str(note)) < 256


def test_other_descriptions_say_nothing() -> None:
    assert read_note("") is None
    assert read_note("lamina of ours") is None


@pytest.mark.parametrize(
    ("to", "kind"),
    [
        (None, "last"),
        ("7", "version"),
        ("sha256:" + "a" * 64, "digest"),
        ("sha-0123456789ab", "tag"),
        ("20260102T030405-1a2b3c", "run"),
    ],
)
def test_what_to_return_to_is_told_apart_by_its_form(to: str | None, kind: str) -> None:
    assert kind_of(to) == kind


@pytest.mark.parametrize("to", ["", "0", "latest", "sha256:12", "-1"])
def test_anything_else_is_refused(to: str) -> None:
    with pytest.raises(ConfigError, match="is not a version, an image or a run"):
        kind_of(to)
