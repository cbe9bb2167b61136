"""What sources import and define is found out once for each content."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import pytest

from lamina.identify.facts import SCHEMA, Facts, render
from lamina.identify.modules import read_module
from lamina.identify.runnable import check_runnable

from ..conftest import RUNTIME, Repo


def digest(source: bytes) -> str:
    return hashlib.sha256(source).hexdigest()


SOURCE = b"""
import a.b
from . import c as d
try:
    import e
except ImportError:
    from f import g
try:
    import e2
except ImportError:
    raise
if x:
    from h import *
DATA = Path(__file__).parent / "data" / "x.json"
def handler(event, context):
    import i
async def other(): ...
"""


KEY = digest(SOURCE)


def unread() -> bytes:
    raise AssertionError("was read again")


def test_facts_are_the_same_after_they_were_kept(tmp_path: Path) -> None:
    first = Facts(tmp_path / "facts.json")
    before = first.scanned(KEY, lambda: SOURCE), first.module(KEY, lambda: SOURCE)
    first.save()

    again = Facts(tmp_path / "facts.json")

    assert (again.scanned(KEY, unread), again.module(KEY, unread)) == before
    assert before[1] == read_module(SOURCE)
    assert again.read == {}


def test_a_source_that_is_not_python_is_not_parsed_again(tmp_path: Path) -> None:
    first = Facts(tmp_path / "facts.json")
    before = first.module(digest(b"def"), lambda: b"def")
    first.save()

    assert before is not None
    assert [each.kind for each in before.traits] == ["unparsable"]
    assert Facts(tmp_path / "facts.json").module(digest(b"def"), unread) == before


def test_a_source_that_a_search_refuses_is_parsed_once(tmp_path: Path) -> None:
    facts = Facts(tmp_path / "facts.json")

    found = facts.scanned("1", lambda: b"from a \\\n import b\nimport json")

    assert [each.module for each in found.imports] == ["a"]
    assert facts.module("1", unread) is not None


def test_a_file_that_cannot_be_read_is_tried_again(tmp_path: Path) -> None:
    def gone() -> bytes:
        raise FileNotFoundError

    facts = Facts(tmp_path / "facts.json")
    assert facts.scanned("1", gone).imports == ()
    assert facts.module("1", gone) is None
    facts.save()

    assert not (tmp_path / "facts.json").exists()
    assert Facts(tmp_path / "facts.json").scanned("1", lambda: b"import a").imports


def test_a_damaged_file_counts_as_empty(tmp_path: Path) -> None:
    file = tmp_path / "facts.json"
    first = Facts(file)
    first.scanned(digest(b"import one"), lambda: b"import one")
    first.save()
    good = file.read_bytes()
    schema, _, proof = good.partition(b"\n")[0].split(b" ")
    other = b" ".join([schema, b"2.7", proof]) + b"\n" + good.partition(b"\n")[2]
    for content in (
        b"",
        b"{",
        good.replace(b"one", b"two"),
        good[:-1],
        good.replace(b"%d " % SCHEMA, b"99 ", 1),
        other,
    ):
        file.write_bytes(content)
        found = Facts(file).scanned(digest(b"import one"), lambda: b"import three")
        assert found.imports[0].module == "three"
    file.write_bytes(good)
    assert Facts(file).scanned(digest(b"import one"), unread).imports[0].module == "one"


def test_the_meaning_of_the_file_is_fixed_by_its_schema(tmp_path: Path) -> None:
    """When this fails, `SCHEMA` needs the next number: an old file would be read as something else."""
    facts = Facts(tmp_path / "facts.json")
    facts.scanned(KEY, lambda: SOURCE)
    facts.module(KEY, lambda: SOURCE)
    facts.save()

    kept = json.loads((tmp_path / "facts.json").read_bytes().partition(b"\n")[2])

    assert kept[KEY] == json.loads(
        """[
        [[[0, "a.b", []], [1, "", ["c"]], [0, "e", []], [0, "f", ["g"]], [0, "e2", []], [0, "h", ["*"]],
          [0, "i", []]], true, false],
        [[[2, 0, "a.b", []], [3, 1, "", ["c"]], {"try": [[5, 0, "e", []]], "else": [[7, 0, "f", ["g"]]]},
          {"try": [[9, 0, "e2", []]], "else": null}, {"if": [[13, 0, "h", ["*"]]]},
          {"if": [[16, 0, "i", []]]}],
         ["*", "DATA", "a", "d", "e", "e2", "g", "handler", "i", "other"], ["handler", "other"],
         {"handler": [[16, 0, "i", []]], "other": []}, true, [[14, null, ["data", "x.json"]]], []]
        ]"""
    )


def test_facts_of_other_commands_stay(tmp_path: Path) -> None:
    file = tmp_path / "facts.json"
    file.write_bytes(render({"1": [[[], False, False], None]}))
    facts = Facts(file)
    facts.scanned(digest(b"import a"), lambda: b"import a")
    facts.save()

    assert Facts(file).scanned("1", unread).imports == ()


def test_a_source_that_changed_after_its_digest_was_taken_is_not_kept(tmp_path: Path) -> None:
    facts = Facts(tmp_path / "facts.json")

    assert facts.scanned(KEY, lambda: b"import b").imports[0].module == "b"
    assert facts.moved
    facts.save()

    assert Facts(tmp_path / "facts.json").scanned(KEY, lambda: SOURCE).imports[0].module == "a.b"


# The preflight never makes a plan slow: counted are sources that are searched or parsed, not seconds


@pytest.fixture
def shop(repo: Repo) -> Repo:
    """Three images with one package of six modules and a handler each."""
    repo.write("shop/pyproject.toml", '[project]\nname = "shop"\nversion = "1"\n')
    repo.write("shop/shop/__init__.py", "from shop import m0, m1, m2, m3, m4\n")
    for number in range(5):
        repo.write(f"shop/shop/m{number}.py", f"from . import m{max(0, number - 1)}\nVALUE = {number}\n")
    for name in ("one", "two", "three"):
        repo.write(
            f"{name}/handler.py", f"import shop.m1\nNAME = '{name}'\ndef handler(event, context): ...\n"
        )
        repo.image(
            name,
            f"FROM {RUNTIME}",
            "COPY shop /tmp/shop",
            "RUN pip install /tmp/shop",
            f"COPY {name}/handler.py ./",
            'CMD ["handler.handler"]',
        )
    return repo


def checked(repo: Repo) -> tuple[dict[str, int], set[str]]:
    """Check all images. Return how often each source was searched or parsed, and those parsed."""
    images = repo.images()
    facts = Facts(repo.root / ".lamina" / "facts.json")
    found = check_runnable(images, images, facts)
    facts.save()
    assert not any(each.imports for each in found.values())
    kept = json.loads((repo.root / ".lamina" / "facts.json").read_bytes().partition(b"\n")[2])
    names = {file.sha256: file.path for image in images.values() for file in image.contexts[""].files}
    parsed = {names[digest] for digest, (_, module) in kept.items() if module is not None and digest in names}
    return {names[digest]: count for digest, count in facts.read.items()}, parsed


def test_a_first_plan_searches_each_module_once_and_parses_only_handlers(shop: Repo) -> None:
    modules = {"shop/shop/__init__.py", *(f"shop/shop/m{number}.py" for number in range(5))}
    handlers = {"one/handler.py", "two/handler.py", "three/handler.py"}

    read, parsed = checked(shop)

    assert read == {**dict.fromkeys(modules, 1), **dict.fromkeys(handlers, 2)}
    assert parsed == handlers


def test_a_second_plan_reads_no_source(shop: Repo) -> None:
    checked(shop)

    assert checked(shop)[0] == {}


def test_an_edit_makes_one_source_be_read(shop: Repo) -> None:
    checked(shop)
    shop.write("shop/shop/m2.py", "from . import m1\nVALUE = 22\n")

    assert checked(shop)[0] == {"shop/shop/m2.py": 1}


def test_only_modules_that_lead_to_a_finding_are_parsed(shop: Repo) -> None:
    shop.write(
        "shop/shop/m3.py", "from . import m2\ntry:\n    from receipt import x\nexcept ImportError: ...\n"
    )
    shop.write("receipt/pyproject.toml", '[project]\nname = "receipt"\nversion = "1"\n')
    shop.write("receipt/receipt/__init__.py", "x = 1\n")

    _, parsed = checked(shop)

    assert parsed >= {"shop/shop/m3.py", "shop/shop/m4.py", "shop/shop/__init__.py"}
    assert parsed.isdisjoint({"shop/shop/m0.py", "shop/shop/m1.py", "shop/shop/m2.py"})
