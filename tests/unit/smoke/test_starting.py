"""What a start costs is measured in real interpreters."""

from __future__ import annotations

import json
import py_compile
import subprocess
import sys
from pathlib import Path
from typing import Any

from lamina.smoke import starting
from lamina.smoke.init import SLOWEST, read_init


def measured(folder: Path) -> dict[str, Any]:
    """The printed figures of `handler.handler` in a folder."""
    done = subprocess.run(
        [sys.executable, "-B", starting.__file__, "measure", "handler.handler"],
        cwd=folder,
        capture_output=True,
        check=True,
    )
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def test_a_start_is_measured_in_a_real_interpreter(tmp_path: Path) -> None:
    (tmp_path / "helper.py").write_text("import decimal\n")
    (tmp_path / "handler.py").write_text("import helper\nprint('loading')\n\n\ndef handler(): ...\n")

    found = measured(tmp_path)
    init = read_init(found, "handler.handler")

    assert init is not None
    assert init.compiled == 2
    assert init.compiling_ms > 0
    assert 0 < len(init.slowest) <= SLOWEST
    assert {"helper", "decimal"} <= {
        line.rpartition("|")[2].strip() for line in found["imports"].splitlines()
    }
    assert 0 < init.handler.wall < init.imports.wall + init.handler.wall < init.wall_ms
    assert init.memory_mb > 0
    assert (init.bytecode_files, init.without_cpu_ms, init.saved_by_bytecode) == (0, None, None)


def test_a_start_with_bytecode_is_measured_without_it_as_well(tmp_path: Path) -> None:
    (tmp_path / "handler.py").write_text("def handler(): ...\n")
    mode = py_compile.PycInvalidationMode.UNCHECKED_HASH
    py_compile.compile(str(tmp_path / "handler.py"), invalidation_mode=mode)

    found = measured(tmp_path)

    assert found["bytecode"]["files"] == 1
    assert found["start"]["compiled"] == 0
    assert found["with"]["compiled"] == 0
    assert found["without"]["compiled"] == 1


def test_a_handler_that_cannot_be_imported_has_no_init(tmp_path: Path) -> None:
    (tmp_path / "handler.py").write_text("import nosuchmodule\n")

    found = measured(tmp_path)

    assert "No module named 'nosuchmodule'" in found["fault"]
    assert read_init(found, "handler.handler") is None


def test_the_files_that_a_start_opens_are_listed(tmp_path: Path) -> None:
    """So many that a pipe could not hold their paths before somebody reads them."""
    (tmp_path / "unused.py").write_text("")
    (tmp_path / "data.txt").write_text("text")
    names = [f"module_{number}_{'x' * 100}" for number in range(600)]
    for name in names:
        (tmp_path / f"{name}.py").write_text("")
    imports = "\n".join(f"import {name}" for name in names)
    (tmp_path / "handler.py").write_text(f"{imports}\nopen('data.txt').close()\n\n\ndef handler(): ...\n")

    init = read_init(measured(tmp_path), "handler.handler")

    assert init is not None
    found = (Path(each).name.partition(".")[0] for each in init.opened if each.startswith(str(tmp_path)))
    assert set(found) == {"handler", "data", *names}
