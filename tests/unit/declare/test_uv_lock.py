from __future__ import annotations

import tomllib

import pytest

from lamina.declare.uv_lock import Selection, UnusualLockError, UvLock
from uv_workspace import WORKSPACE

TEXT = (WORKSPACE / "uv.lock").read_text("utf-8")
INGEST = Selection(members=frozenset({"ingest"}), groups="none")
REPORT = Selection(members=frozenset({"report"}), groups="none")


def names(text: str) -> set[str]:
    return {each["name"] for each in tomllib.loads(text).get("package", ())}


def package(text: str, name: str) -> dict[str, object]:
    found: dict[str, object] = next(each for each in tomllib.loads(text)["package"] if each["name"] == name)
    return found


def test_the_members_and_folders_of_a_workspace() -> None:
    lock = UvLock(TEXT)

    assert lock.members == {"common", "ingest", "mono", "report", "store", "web"}
    assert lock.folders["store"] == "packages/store"
    assert lock.folders["mono"] == "."


def test_a_member_needs_the_members_it_requires() -> None:
    assert UvLock(TEXT).local_closure(INGEST) == {
        "common": "packages/common",
        "ingest": "functions/ingest",
        "store": "packages/store",
    }


def test_a_member_pins_its_closure_and_nothing_else() -> None:
    pinned = UvLock(TEXT).pinned(INGEST)

    assert [each.partition("==")[0] for each in pinned] == [
        "certifi", "charset-normalizer", "idna", "numpy", "requests", "urllib3",
    ]  # fmt: skip
    assert next(each for each in pinned if each.startswith("numpy")) == "numpy==1.26.4 or ==2.5.5"


def test_an_extra_counts_only_where_an_edge_names_it() -> None:
    lock = UvLock(TEXT)

    assert {"h2", "orjson"} <= names(lock.excerpt(REPORT))
    web = Selection(members=frozenset({"web"}), groups="none")
    assert "orjson" not in names(lock.excerpt(web))
    assert "orjson" in names(lock.excerpt(Selection(members=frozenset({"web"}), extras=True)))


@pytest.mark.parametrize(
    ("groups", "expected"),
    [
        ("none", set()),
        ("all but dev", {"mccabe"}),
        ("all", {"mccabe", "colorama"}),
        ("all, and of the root", {"mccabe", "colorama", "iniconfig"}),
    ],
)
def test_groups_count_for_the_members_that_are_installed(groups: str, expected: set[str]) -> None:
    selection = Selection(members=frozenset({"ingest"}), groups=groups)  # type: ignore[arg-type]

    assert names(UvLock(TEXT).excerpt(selection)) & {"mccabe", "colorama", "iniconfig"} == expected


def test_the_project_beside_the_lock_is_always_named_without_what_it_requires() -> None:
    text = UvLock(TEXT).excerpt(INGEST)

    assert package(text, "mono") == {"name": "mono", "source": {"virtual": "."}}
    assert tomllib.loads(text)["manifest"]["members"] == ["common", "ingest", "mono", "store"]


def test_members_whose_project_files_a_step_sees_are_named() -> None:
    selection = Selection(members=frozenset({"ingest"}), folders=frozenset({"packages/web"}))

    assert package(UvLock(TEXT).excerpt(selection), "web").keys() == {"name", "source"}


def test_the_version_of_a_member_does_not_count() -> None:
    bumped = TEXT.replace('name = "store"\nversion = "1.0"', 'name = "store"\nversion = "1.1"')

    assert bumped != TEXT
    assert UvLock(bumped).excerpt(INGEST) == UvLock(TEXT).excerpt(INGEST)


def test_an_archive_of_the_closure_counts() -> None:
    assert UvLock(TEXT.replace("requests-2", "requests_2")).excerpt(INGEST) != UvLock(TEXT).excerpt(INGEST)
    assert UvLock(TEXT.replace("httpx-0", "httpx_0")).excerpt(INGEST) == UvLock(TEXT).excerpt(INGEST)


def test_the_project_beside_the_lock_is_meant_without_a_member() -> None:
    assert UvLock(TEXT).pinned(Selection()) == ("iniconfig==2.3.1",)


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("version = 1\n", "version = 2\n"),
        ("[manifest]", "conflicts = []\n[manifest]"),
        ("[manifest]", "[manifest]\nrequirements = []"),
        ('    { name = "idna" },', '    { name = "absent" },'),
        ("[[package]]\n", "[[package]]\r\n"),
        ('members = [\n    "common",', 'members = ["common",'),
        ('name = "requests"\n', 'name = "requests"\n]'),
        ('name = "ingest"', 'name = "other"'),
        ('name = "requests"\nversion', '# a comment\nname = "requests"\nversion'),
    ],
)
def test_an_unusual_lock_has_no_excerpt(old: str, new: str) -> None:
    assert old in TEXT
    with pytest.raises(UnusualLockError):
        UvLock(TEXT.replace(old, new)).excerpt(INGEST)
