from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

import pytest

from lamina.execute.outcome import Outcome, Result, Status
from lamina.report.document import entry
from lamina.report.installs import with_resolved

from ..conftest import DIGEST, RUNTIME, Repo

Steps = Mapping[str, Mapping[str, str] | None]
FIRST, SECOND = "RUN pip install -r one.txt", "RUN pip install -r two.txt"


@pytest.fixture
def app(repo: Repo) -> Repo:
    repo.image("app", f"FROM {RUNTIME}", "COPY *.txt *.py /src/", FIRST, SECOND)
    repo.write("one-requirements.txt", "six\n")
    repo.write("handler.py", "x = 1\n")
    return repo


def after(
    repo: Repo, state: Path, steps: Steps | None, status: Status = "built", digest: str = DIGEST
) -> dict[str, str]:
    """What is known of the image after a run of these steps; None: a run that built nothing."""
    there = None if status == "failed" else digest
    result = Result(image=repo.images()["app"], status=status, reasons=(), digest=there)
    outcome = Outcome(results={"app": result}, installs={} if steps is None else {"app": steps})
    return dict(with_resolved(state, outcome).results["app"].resolved)


def test_versions_of_a_step_that_ran_are_known(app: Repo, tmp_path: Path) -> None:
    steps = {FIRST: {"six": "1"}, SECOND: {"attrs": "2"}}

    assert after(app, tmp_path, steps) == {"six": "1", "attrs": "2"}


def test_versions_of_a_cached_step_are_those_of_its_last_run(app: Repo, tmp_path: Path) -> None:
    after(app, tmp_path, {FIRST: {"six": "1"}, SECOND: {"attrs": "2"}})
    app.write("handler.py", "x = 2\n")

    assert after(app, tmp_path, {FIRST: None, SECOND: None}) == {"six": "1", "attrs": "2"}
    assert after(app, tmp_path, None, "skipped") == {"six": "1", "attrs": "2"}


def test_of_an_image_that_another_machine_built_nothing_is_known(app: Repo, tmp_path: Path) -> None:
    after(app, tmp_path, {FIRST: {"six": "1"}, SECOND: {"attrs": "2"}})

    assert after(app, tmp_path, None, "skipped", digest="sha256:" + "2" * 64) == {}
    assert after(app, tmp_path, None, "retagged") == {"six": "1", "attrs": "2"}


def test_a_step_that_ran_again_has_only_what_it_said_last(app: Repo, tmp_path: Path) -> None:
    after(app, tmp_path, {FIRST: {"six": "1", "gone": "1"}, SECOND: {"attrs": "2"}})

    assert after(app, tmp_path, {FIRST: {"six": "2"}, SECOND: None}) == {"six": "2", "attrs": "2"}


def test_a_revert_finds_what_belongs_to_it(app: Repo, tmp_path: Path) -> None:
    after(app, tmp_path, {FIRST: {"six": "1"}, SECOND: {"attrs": "2"}})
    app.write("one-requirements.txt", "six>1\n")
    assert after(app, tmp_path, {FIRST: {"six": "2"}, SECOND: None}) == {"six": "2", "attrs": "2"}
    app.write("one-requirements.txt", "six\n")

    assert after(app, tmp_path, {FIRST: None, SECOND: None}) == {"six": "1", "attrs": "2"}


def test_a_step_that_is_gone_from_the_dockerfile_counts_no_more(app: Repo, tmp_path: Path) -> None:
    after(app, tmp_path, {FIRST: {"six": "1"}, SECOND: {"attrs": "2"}})
    app.edit("dockerfiles/app/Dockerfile", SECOND, "")

    assert after(app, tmp_path, {FIRST: None}) == {"six": "1"}
    assert after(app, tmp_path, None, "skipped") == {"six": "1"}


def test_versions_that_a_failed_image_installed_are_known_when_it_is_cached(
    app: Repo, tmp_path: Path
) -> None:
    assert after(app, tmp_path, {FIRST: {"six": "1"}, SECOND: None}, "failed") == {}
    assert after(app, tmp_path, {FIRST: None, SECOND: {"attrs": "2"}}) == {"six": "1", "attrs": "2"}


def test_platforms_have_records_of_their_own(app: Repo, tmp_path: Path) -> None:
    after(app, tmp_path, {FIRST: {"six": "1"}})
    app.flags["platform"] = "linux/arm64"

    assert after(app, tmp_path, {FIRST: None}) == {}


def test_nothing_is_kept_of_steps_that_install_nothing(app: Repo, tmp_path: Path) -> None:
    assert after(app, tmp_path, {FIRST: {}, SECOND: None}) == {}
    assert not (tmp_path / "installs").exists()


def test_neither_steps_nor_states_are_kept_for_ever(app: Repo, tmp_path: Path) -> None:
    for number in range(50):
        app.write("one-requirements.txt", f"six=={number}\n")
        steps = {FIRST: {"six": str(number)}, f"RUN {number}": {"a": "1"}}
        after(app, tmp_path, steps, digest=f"sha256:{number}")

    (file,) = (tmp_path / "installs").iterdir()
    record = json.loads(file.read_text())
    assert len(record["steps"]) == 20
    assert {len(known) for known in record["steps"].values()} == {1, 20}
    assert len(record["images"]) == 20
    assert after(app, tmp_path, None, "skipped", digest="sha256:49") == {"six": "49", "a": "1"}


@pytest.mark.parametrize("content", ["", "[]", '{"steps": 3}', '{"steps": {"a": {"b": 3}}, "images": {}}'])
def test_a_damaged_record_is_an_empty_one(app: Repo, tmp_path: Path, content: str) -> None:
    after(app, tmp_path, {FIRST: {"six": "1"}})
    (file,) = (tmp_path / "installs").iterdir()
    file.write_text(content)

    assert after(app, tmp_path, {FIRST: None}) == {}


def test_the_manifest_names_versions_where_they_are_known(app: Repo) -> None:
    image = app.images()["app"]
    known = Result(
        image=image, status="built", reasons=(), digest=DIGEST, resolved={"six": "1", "attrs": "2"}
    )
    unknown = Result(image=image, status="built", reasons=(), digest=DIGEST)

    assert list(entry(known)["resolved"].items()) == [("attrs", "2"), ("six", "1")]
    assert "resolved" not in entry(unknown)
