from __future__ import annotations

from dataclasses import replace

from lamina.adopt.phases import (
    Check,
    build_check,
    buildkit_check,
    cache_check,
    findings_check,
    ignore_check,
    linked_check,
    login_check,
    pull_check,
    remote_check,
    static_check,
    tag_check,
)
from lamina.declare.settings import Value
from lamina.errors import Problem
from lamina.lint.findings import Edit, Finding, Severity

from ..conftest import Repo, Shelf

LOCAL, ECR = Value(value="local", source="default"), Value(value="ecr", source="--registry")


def told(check: Check) -> tuple[str, str, str | None]:
    return check.state, check.detail, check.next


def finding(severity: Severity, *, fix: bool = False) -> Finding:
    return Finding(
        rule="LAM001",
        slug="odd",
        severity=severity,
        image="app",
        file="Dockerfile",
        line=3,
        message="odd",
        why="so",
        fix=(Edit(file="Dockerfile", start=3, end=4, lines=()),) if fix else None,
        hint=None,
    )


def test_faults_come_before_findings_and_notes_are_none() -> None:
    fault, note = Problem(what="broken", where="a:1", hint="mend"), finding("note")

    assert told(findings_check([], [note])) == ("done", "no faults, 1 note", None)
    assert told(findings_check([fault], [])) == ("not yet", "1 fault: a:1: broken", "invoke plan")
    state, detail, step = told(findings_check([], [note, finding("error")]))
    assert (state, detail, step) == ("not yet", "1 finding: Dockerfile:3: odd", "invoke lint")
    assert told(findings_check([], [finding("warning", fix=True)]))[2] == "invoke lint --fix"


def test_without_images_no_ignore_file_is_stale() -> None:
    assert told(ignore_check([])) == ("done", "0 ignore files, none out of date", None)


def test_the_builder_is_named_or_why_there_is_none() -> None:
    assert told(buildkit_check("engine 28", None)) == ("done", "engine 28", None)
    problem = Problem(what="DOCKER_BUILDKIT switches BuildKit off", hint="unset DOCKER_BUILDKIT")
    assert told(buildkit_check(None, problem)) == ("not yet", problem.what, "unset DOCKER_BUILDKIT")


def test_a_login_is_for_registries() -> None:
    assert told(login_check(LOCAL, local=True, unknown=None))[0] == "not applicable"
    assert told(login_check(ECR, local=False, unknown="no token")) == ("not yet", "no token", "invoke login")
    assert told(login_check(ECR, local=False, unknown=None)) == ("done", "ecr answers", None)


def test_a_pull_needs_pins_and_then_an_engine() -> None:
    assert told(pull_check(["python:3"], None))[2] == "invoke lock"
    assert told(pull_check([], None))[2] == "invoke engine.up"
    assert told(pull_check([], ["python:3"]))[2] == "invoke pull"
    assert told(pull_check([], []))[0] == "done"


def test_builds_are_done_when_nothing_is_to_be_built(receipts: Repo, shelf: Shelf) -> None:
    images = receipts.images()
    empty = receipts.plan(shelf)
    assert told(build_check(empty, "base")) == (
        "not yet",
        "to be built: base-receipt-dynamo, base-receipt-label",
        "invoke build-base",
    )
    shelf.put(images.values())
    assert told(build_check(receipts.plan(shelf), "lambda")) == ("done", "2 up to date in the shelf", None)
    unknown = replace(empty, unknown="no engine answers")
    assert told(build_check(unknown, "lambda"))[1] == "not checked: no engine answers"
    assert told(build_check(None, "lambda"))[2] == "invoke plan"


def test_a_kind_without_images_is_not_applicable(app: Repo, shelf: Shelf) -> None:
    assert told(build_check(app.plan(shelf), "base"))[0] == "not applicable"
    assert told(static_check([], None))[0] == "not applicable"


def test_tags_of_a_revision_need_a_clean_tree() -> None:
    assert told(tag_check(None, None))[0] == "not applicable"
    assert told(tag_check("git-1234567", None))[2] == "invoke build-all"
    assert told(tag_check("git-1234567", ["a"])) == (
        "not yet",
        "not tagged git-1234567: a",
        "invoke tag --apply",
    )
    assert told(tag_check("git-1234567", []))[0] == "done"


def test_static_mode_needs_stable_of_every_base() -> None:
    assert told(static_check(["a", "b"], None)) == ("not yet", "no tag stable: a, b", "invoke stable")
    assert told(static_check(["a", "b"], ["b"])) == ("not yet", "no tag stable: b", "invoke stable")
    assert told(static_check(["a", "b"], [])) == (
        "done",
        "stable of a, b exists: --static builds FROM it",
        None,
    )


def test_images_that_run_something_on_their_base_are_named(receipts: Repo, app: Repo) -> None:
    state, detail, command = told(linked_check(receipts.graph().nodes.values()))

    assert (state, command) == ("not yet", "invoke lint --notes")  # warnings alone do not name them
    assert detail.startswith("not linked: app (dockerfiles/app/Dockerfile:2 COPY without --link), base-")
    assert detail.endswith(" and 2 more")
    app.image("app", "FROM scratch", "COPY --link src /var/task/")
    assert told(linked_check([app.graph().nodes["app"]]))[0] == "done"


def test_caches_and_builders_have_their_source() -> None:
    cache, off = Value(value="max", source="default"), Value(value="off", source="--cache")
    assert told(cache_check(cache, local=True))[0] == "not applicable"
    assert told(cache_check(cache, local=False)) == ("done", "max (default)", None)
    assert told(cache_check(off, local=False))[1] == "off (--cache)"
    assert told(remote_check(Value(value="", source="default")))[0] == "not yet"
    assert told(remote_check(Value(value="farm", source="$BUILDX_BUILDER"))) == (
        "done",
        "builder farm ($BUILDX_BUILDER)",
        None,
    )
