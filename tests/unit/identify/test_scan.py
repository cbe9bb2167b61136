"""A search finds every import that the parser finds, or refuses the source."""

from __future__ import annotations

import ast
import os
import random
import sys
import sysconfig
from collections.abc import Iterator
from pathlib import Path

import pytest

from lamina.identify.scan import Mention, UnusualError, scan

SEED = int(os.environ.get("LAMINA_SEED", "7"))
CASES = int(os.environ.get("LAMINA_CASES", "60"))
"""Files to compare; a large number compares all of the standard library and of the installed packages."""


def parsed(source: bytes) -> Iterator[Mention]:
    """Yield every import of the syntax tree that is not of the standard library."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            yield from (Mention(0, each.name, ()) for each in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield Mention(node.level, node.module or "", tuple(each.name for each in node.names))


def missed(source: bytes) -> set[Mention]:
    """Return the imports that the search does not find. Raises UnusualError."""
    own = (each for each in parsed(source) if each.level or _top(each) not in sys.stdlib_module_names)
    return set(own) - set(scan(source).imports)


def _top(mention: Mention) -> str:
    return mention.module.partition(".")[0]


def _installed() -> list[Path]:
    paths = sysconfig.get_paths()
    found = sorted({file for name in ("stdlib", "purelib") for file in Path(paths[name]).rglob("*.py")})
    return random.Random(SEED).sample(found, min(CASES, len(found)))


def test_nothing_is_missed_in_sources_that_people_wrote() -> None:
    refused, compared = 0, 0
    for file in _installed():
        source = file.read_bytes()
        try:
            assert missed(source) == set(), file
            compared += 1
        except UnusualError:
            refused += 1
        except (SyntaxError, ValueError, RecursionError):  # on purpose, in tests of parsers
            continue
    assert refused * 20 <= compared


@pytest.mark.parametrize(
    "source",
    [
        "import a",
        "import a.b as c, d . e\timport_x",
        "import\ta",
        "import a;import b ; from c import d",
        "from a import (b)",
        "from a import(b as c, # ) from x\n  d,\n)",
        "from a import (b, # é\n c)",
        "from.import a",
        "from.a import*",
        "from .. . a . b import c",
        "from ...a import b",
        "if x: import a\nelse: from b import c",
        "try: import a\nexcept ImportError: import b",
        "def f():\n\timport a\n\tfrom b import c",
        "class A: import a",
        "x = {1: 2}; import a",
        "'''doc: import x''';import a",
        "import a, \\\n  b",
        "from a import b, \\\n  c",
        "from a import (b, \\\n  c)",
        "\ufeffimport a",
        "\fimport a",
        "import a\rimport b\r\nfrom c import d\r",
        "match x:\n    case 1: import a",
        "import a # the comment",
        "from a import b as c # the comment",
        "def f(): yield x; import a",
        "# coding: latin-1\nimport a",
    ],
)
def test_every_way_to_write_an_import_is_found(source: str) -> None:
    raw = source.replace("import_x", "").encode("utf-8")
    assert missed(raw) == set()
    assert scan(raw).imports


@pytest.mark.parametrize(
    "source",
    [
        b"from a \\\n import b",
        b"from a.\\\nb import c",
        b"x = 1; \\\nimport a",
        "import é".encode(),
        "from é import a".encode(),
        "from a import é".encode(),
        b"# -*- coding: utf-7 -*-\nimport a",
        b"#!/usr/bin/python\n# vim: set fileencoding=koi8-r :\nimport a",
    ],
)
def test_a_source_whose_imports_a_search_could_miss_is_refused(source: bytes) -> None:
    with pytest.raises(UnusualError):
        scan(source)


def test_text_that_is_not_an_import_statement_is_passed_over() -> None:
    source = b'''"""How to import the important things, imported from elsewhere."""
x = "import a"  # import b
important = importlib = __import__("c")
import json, os.path
from collections.abc import Mapping
'''
    assert scan(source).imports == ()


def test_a_source_that_may_open_files_is_marked() -> None:
    assert scan(b"open(__file__)").opens
    assert not scan(b"open('a')").opens
