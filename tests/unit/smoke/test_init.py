"""What a start costs is read from what `starting` prints, kept, compared and shown."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import pytest

from lamina.report.console import Screen
from lamina.report.inits import KEPT, every_init, keep_inits, last_compilations, last_inits
from lamina.smoke.answer import Invocation
from lamina.smoke.container import Smoked
from lamina.smoke.init import Init, InitPart, split_imports
from lamina.smoke.show import measured_runs, smoke_documents
from lamina.smoke.show_init import change, show_inits

TRACE = """\
import time: self [us] | cumulative | imported package
import time:       100 |        100 |   site
import time:       900 |       1000 | awslambdaric
a line that a module wrote
import time:      2000 |       2000 |     chromadb.api
import time:      1000 |       3000 |   chromadb
import time:       500 |        500 |   pydantic
import time:      1500 |       5000 | handler
import time:       700 |        700 | atexit
"""


def explained(**fields: Any) -> Init:
    values: dict[str, Any] = {
        "interpreter": InitPart(wall=20, cpu=15),
        "client": InitPart(wall=5, cpu=5),
        "imports": InitPart(wall=60, cpu=50),
        "handler": InitPart(wall=10, cpu=10),
        "slowest": (),
        "memory_mb": 40,
        "compiled": 0,
        "compiling_ms": 0.0,
        "bytecode_files": 3,
        "bytecode_bytes": 3000,
        "with_cpu_ms": 80.0,
        "without_cpu_ms": 160.0,
    }
    return Init(**{**values, **fields})


def smoked(init: Init | None, *, init_ms: float = 100.0, **fields: Any) -> Smoked:
    return Smoked(
        image="fn", function="handler.handler", answer=Invocation(init_ms=init_ms), init=init, **fields
    )


def test_imports_of_the_handler_are_summed_up_by_package() -> None:
    own, slowest = split_imports(TRACE, "handler")

    assert own == 1500 / 5000
    assert [(each.name, each.ms, each.modules) for each in slowest] == [
        ("chromadb", 3.0, 2),
        ("pydantic", 0.5, 1),
    ]


def test_the_table_tells_the_phases_the_change_and_what_bytecode_saves() -> None:
    out = io.StringIO()
    before = {("fn", "handler.handler"): {"init_ms": 200.0}}

    show_inits(
        Screen(stream=out, env={"COLUMNS": "200"}), [smoked(explained(), size=5_000_000, layers=7)], before
    )

    assert "200 (-50 %)" in out.getvalue()
    assert "a start on cached files takes 80 ms of CPU, without them 160 ms, 50 % less" in out.getvalue()


@pytest.mark.parametrize(("earlier", "now"), [(None, 5.0), (5.0, None), (0.0, 5.0)])
def test_without_two_figures_there_is_no_change(earlier: float | None, now: float | None) -> None:
    assert change(earlier, now) == ""


def test_an_image_without_bytecode_shows_the_cost_of_compiling() -> None:
    out = io.StringIO()
    none = explained(bytecode_files=0, with_cpu_ms=None, compiled=603, compiling_ms=40.0)

    show_inits(Screen(stream=out, env={"COLUMNS": "200"}), [smoked(none)], {})

    assert (
        "the image has no .pyc files: 603 modules are compiled at every start, 40 of 80 ms" in out.getvalue()
    )


def test_the_last_runs_of_a_function_are_kept(tmp_path: Path) -> None:
    for number in range(KEPT + 2):
        run = (smoked(explained(), init_ms=number, tag="sha-1"),)
        keep_inits(tmp_path, measured_runs(run, smoke_documents(run)))

    assert last_inits(tmp_path)["fn", "handler.handler"]["init_ms"] == KEPT + 1
    assert last_compilations(tmp_path) == {"fn": (0, 0.0)}
    [(image, function, runs)] = every_init(tmp_path)
    assert (image, function, len(runs), runs[0]["tag"]) == ("fn", "handler.handler", KEPT, "sha-1")


def test_an_unmeasured_or_damaged_record_is_none(tmp_path: Path) -> None:
    run = (smoked(None),)
    keep_inits(tmp_path, measured_runs(run, smoke_documents(run)))
    (tmp_path / "smoke").mkdir()
    (tmp_path / "smoke" / "fn.json").write_text("{")

    assert last_inits(tmp_path) == {}
    assert "init" not in smoke_documents(run)[0]


def test_an_init_above_its_limit_is_a_failure() -> None:
    slow, fine = smoked(None, init_ms=3001, max_init=3000), smoked(None, init_ms=3000, max_init=3000)

    assert slow.problem is not None
    assert (slow.problem.what, slow.problem.allowed) == (
        "handler.handler: init took 3001 ms",
        "max-init: 3000 ms",
    )
    assert fine.problem is None
    assert [each["ok"] for each in smoke_documents([slow, fine])] == [False, True]
