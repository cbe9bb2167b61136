"""Checks are kept: the same findings without checking again, and never those of another tree."""

from __future__ import annotations

from collections.abc import Callable, Collection
from pathlib import Path

import pytest

from lamina.errors import ConfigError
from lamina.identify.facts import Facts
from lamina.identify.image_layouts import lay_out_images
from lamina.identify.runnable import check_runnable
from lamina.masks import Mask
from lamina.preflight.check import check_images
from lamina.preflight.kept import ImageCheck, KeptChecks, check
from preflight_cases import CASES, Case

from ..conftest import Repo

RUNTIME = "public.ecr.aws/lambda/python:3.13"


def kept_file(repo: Repo) -> Path:
    return repo.root / ".lamina" / "checks.json"


def kept(repo: Repo, *secrets: str) -> KeptChecks:
    return KeptChecks(kept_file(repo), Mask(secrets))


def checked(repo: Repo, *names: str, off: Collection[str] = ()) -> dict[str, ImageCheck]:
    """Check images, all by default, as another command would, with what earlier ones have kept."""
    images = repo.images()
    return {**check(images, names or tuple(images), kept(repo), Facts, off=off)}


def again(repo: Repo, *names: str) -> dict[str, ImageCheck]:
    """Return what is kept about images; fail if one has to be checked."""

    def facts() -> Facts:
        raise AssertionError("an image is checked again")

    images = repo.images()
    return {**check(images, names or tuple(images), kept(repo), facts)}


def messages(checks: dict[str, ImageCheck]) -> list[str]:
    imports = (fault.missing for each in checks.values() if each.runnable for fault in each.runnable.imports)
    return [*imports, *(fault.message for each in checks.values() for fault in each.faults)]


def handler(repo: Repo, source: str, *copies: str) -> None:
    repo.write("src/handler.py", f"{source}\n\n\ndef handler(event, context): ...\n")
    repo.image("fn", f"FROM {RUNTIME}", "COPY src/handler.py ./", *copies, 'CMD ["handler.handler"]')


@pytest.mark.parametrize("case", CASES.values(), ids=CASES)
def test_kept_faults_are_the_ones_found(repo: Repo, case: Case) -> None:
    case.write(repo)
    try:
        images = repo.images()
    except ConfigError:
        return  # nothing checks an image that cannot be read
    layouts = lay_out_images(images)
    runnable = check_runnable(images, images, layouts=layouts)
    faults = check_images(images, layouts, runnable)
    found = {
        name: ImageCheck(runnable=each.found, faults=faults[name])
        for name, each in runnable.items()
        if each.found or faults[name]
    }

    assert checked(repo) == found
    assert again(repo) == found


EDITS: dict[str, Callable[[Repo], object]] = {
    "a file beside the importer": lambda repo: repo.write("src/helper.py"),
    "a package beside the importer": lambda repo: repo.write("src/helper/__init__.py"),
    "a project that has it": lambda repo: (
        repo.write("lib/pyproject.toml", '[project]\nname = "helper"\nversion = "1"\n'),
        repo.write("lib/helper/__init__.py"),
    ),
}


@pytest.mark.parametrize("edit", EDITS.values(), ids=EDITS)
def test_a_file_that_no_image_has_makes_a_finding(repo: Repo, edit: Callable[[Repo], object]) -> None:
    handler(repo, "import helper")
    assert messages(checked(repo)) == []

    edit(repo)

    assert messages(checked(repo)) == ["helper"]


def test_a_finding_goes_with_the_file_that_made_it(repo: Repo) -> None:
    handler(repo, "import helper")
    repo.write("src/helper.py")
    assert messages(checked(repo)) == ["helper"]

    repo.remove("src/helper.py")

    assert checked(repo) == again(repo) == {}


def test_a_link_is_followed_to_what_it_leads_to_now(repo: Repo) -> None:
    repo.write("first.py", "def handler(event, context): ...\n")
    repo.write("second.py", "def other(event, context): ...\n")
    repo.link("src/handler.py", "../first.py")
    repo.image("fn", f"FROM {RUNTIME}", "COPY src/handler.py ./", 'CMD ["handler.handler"]')
    assert messages(checked(repo)) == []

    repo.write("first.py", "def other(event, context): ...\n")

    assert messages(checked(repo)) == ["function handler"]


def test_a_comment_moves_a_finding(repo: Repo) -> None:
    handler(repo, "", "RUN yum install -y git")
    (before,) = checked(repo)["fn"].faults

    repo.edit("dockerfiles/fn/Dockerfile", "RUN yum", "# tools\nRUN yum")

    (after,) = checked(repo)["fn"].faults
    assert after.line == before.line + 1


def test_a_comment_that_switches_a_rule_off_counts_at_once(repo: Repo) -> None:
    handler(repo, "", "RUN yum install -y git")
    (fault,) = checked(repo)["fn"].faults

    repo.edit("dockerfiles/fn/Dockerfile", "RUN yum", f"# lamina: ignore={fault.rule}\nRUN yum")

    assert checked(repo) == {}


def test_rules_that_are_switched_off_are_not_kept_for_other_commands(repo: Repo) -> None:
    handler(repo, "", "RUN yum install -y git")
    (fault,) = checked(repo)["fn"].faults

    assert checked(repo, off=[fault.rule]) == {}
    assert checked(repo)["fn"].faults == (fault,)


def test_an_edited_image_alone_is_checked_again(repo: Repo) -> None:
    for name in ("a", "b"):
        repo.write(f"src/{name}.py", "def handler(event, context): ...\n")
        repo.image(name, f"FROM {RUNTIME}", f"COPY src/{name}.py ./", f'CMD ["{name}.handler"]')
    checked(repo)

    repo.write("src/a.py", "def handle(event, context): ...\n")

    assert again(repo, "b") == {}
    assert messages(checked(repo, "a")) == ["function handler"]
    assert messages(again(repo)) == ["function handler"]


def test_an_image_is_checked_again_if_its_base_changes(repo: Repo) -> None:
    repo.write("src/helper.py")
    repo.write("src/handler.py", "import helper\n\n\ndef handler(event, context): ...\n")
    repo.image("base", f"FROM {RUNTIME}", "COPY src/helper.py ./")
    repo.image("fn", "FROM base", "COPY src/handler.py ./", 'CMD ["handler.handler"]')
    assert messages(checked(repo, "fn")) == []

    repo.write("src/other.py")
    repo.edit("dockerfiles/base/Dockerfile", "src/helper.py", "src/other.py")

    assert messages(checked(repo, "fn")) == ["helper"]


def test_another_version_of_a_rule_does_not_read_what_is_kept(repo: Repo) -> None:
    handler(repo, "")
    checked(repo)
    text = kept_file(repo).read_bytes()
    kept_file(repo).write_bytes(b"0" * 64 + text[64:])

    with pytest.raises(AssertionError, match="checked again"):
        again(repo)


@pytest.mark.parametrize("damage", [b"", b"{", b"\xff\x00", b"[]\n[]"])
def test_a_damaged_file_counts_as_empty(repo: Repo, damage: bytes) -> None:
    handler(repo, "import helper")
    repo.write("src/helper.py")
    found = checked(repo)
    kept_file(repo).write_bytes(damage)

    assert checked(repo) == found
    assert again(repo) == found


def test_a_changed_byte_is_damage(repo: Repo) -> None:
    handler(repo, "import helper")
    repo.write("src/helper.py")
    found = checked(repo)
    kept_file(repo).write_bytes(kept_file(repo).read_bytes().replace(b"helper", b"helpen"))

    assert checked(repo) == found


def test_a_source_that_changes_during_the_check_is_not_kept(repo: Repo) -> None:
    handler(repo, "import helper")
    repo.write("src/helper.py")
    images = repo.images()
    handler(repo, "")  # after its digest was taken

    check(images, tuple(images), kept(repo), Facts)

    assert not kept_file(repo).exists()


def test_a_disk_that_changes_between_two_images_keeps_nothing_wrong(repo: Repo) -> None:
    for name in ("a", "b"):
        repo.write(f"src/{name}.py", "import helper\n\n\ndef handler(event, context): ...\n")
        repo.image(name, f"FROM {RUNTIME}", f"COPY src/{name}.py ./", f'CMD ["{name}.handler"]')
    assert messages(checked(repo, "a")) == []
    opened = kept(repo)

    repo.write("src/helper.py")
    check(repo.images(), ["b"], opened, Facts)

    assert messages(checked(repo, "a")) == ["helper"]


def test_a_finding_with_a_secret_in_it_is_not_kept(repo: Repo) -> None:
    handler(repo, "import Tr0ub4dor3")
    repo.write("src/Tr0ub4dor3.py")
    images = repo.images()

    check(images, tuple(images), kept(repo, "Tr0ub4dor3"), Facts)

    assert not kept_file(repo).exists()


def test_a_disk_that_refuses_only_costs_time(repo: Repo) -> None:
    handler(repo, "import helper")
    repo.write("src/helper.py")
    kept_file(repo).mkdir(parents=True)

    assert messages(checked(repo)) == ["helper"]
    assert [*kept_file(repo).iterdir()] == []
