from __future__ import annotations

from pathlib import Path

import pytest

from lamina.declare.document import Document, Key
from lamina.errors import ConfigError

TEXT = """\
[project]
name = "x"

[tool.lamina]
stack = "dev" # stack = no
"registry" = "local"
images.inline.target = "a"

[tool.lamina.images.app]
target = "b"
args.ONE = "1"

[tool.lamina.images."dotted.name"]
kind = "base"
"""


@pytest.fixture
def document(tmp_path: Path) -> Document:
    (tmp_path / "pyproject.toml").write_text(TEXT)
    return Document(tmp_path)


@pytest.mark.parametrize(
    ("keys", "line"),
    [
        ((), 4),
        (("stack",), 5),
        (("registry",), 6),
        (("images", "inline", "target"), 7),
        (("images", "app"), 9),
        (("images", "app", "target"), 10),
        (("images", "app", "args", "ONE"), 11),
        (("images", "app", "missing"), 9),
        (("missing",), 4),
    ],
)
def test_keys_are_found_in_the_text(document: Document, keys: tuple[str, ...], line: int) -> None:
    assert document.where(*keys) == f"pyproject.toml:{line}"


def test_a_missing_file_is_an_empty_table(tmp_path: Path) -> None:
    assert Document(tmp_path).table == {}


def test_known_entries_pass_and_others_are_noted(document: Document) -> None:
    kinds = {"stack": str, "registry": int, "images": dict}
    good = document.known(document.table, {name: Key(kind=kind) for name, kind in kinds.items()})

    assert set(good) == {"stack", "images"}
    with pytest.raises(ConfigError, match=r"pyproject.toml:6: tool.lamina.registry is 'local'"):
        document.check()


def test_a_file_that_is_not_text_is_refused(tmp_path: Path) -> None:
    (tmp_path / "pyproject.toml").write_bytes(b"\xff\xfe")

    with pytest.raises(ConfigError, match=r"pyproject\.toml: cannot be read"):
        Document(tmp_path)
