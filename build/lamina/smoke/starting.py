"""Runs inside a container: starts a handler as Lambda's runtime does and measures what its start costs.

    starting.py measure HANDLER             all starts; prints one JSON object
    starting.py start HANDLER FD BEGAN WAY  one start; writes its figures to a file descriptor

Only this file is copied there, so it uses only the standard library of Python 3.8 or newer. What it imports
before the handler would not count as the handler's: functions import what they need.
"""

from __future__ import annotations

import os
import sys
import time

TYPE_CHECKING = False
if TYPE_CHECKING:
    from types import CodeType
    from typing import Any

_RUNTIME = "/var/runtime"  # where AWS's images have their runtime client
_WITHOUT = "without-bytecode"
_OPENED = "opened-files"
_SECONDS = 120


class Compiling:
    """Counts the modules that are compiled because they have no usable bytecode, and the CPU it takes."""

    modules = 0
    seconds = 0.0


def measure(handler: str) -> dict[str, object]:
    """Start a handler with a cold page cache, with a list of its imports, with and without bytecode.

    The last two are left out for an image without any.
    """
    files, size = forget_pages()
    found, trace = begin(handler)
    if not found:
        return {"fault": trace}
    traced, imports = begin(handler, "-X", "importtime", way=_OPENED)
    return {
        "bytecode": {"files": files, "bytes": size},
        "start": found,
        "imports": imports,
        "opened": traced.get("opened", []),
        # Compared with each other, as both find all files in the page cache.
        "with": begin(handler)[0] if files else None,
        "without": begin(handler, way=_WITHOUT)[0] if files else None,
    }


def forget_pages() -> tuple[int, int]:
    """Drop the page cache of the function and the standard library. Returns number and bytes of its .pyc."""
    from contextlib import suppress
    from pathlib import Path

    files = size = 0
    here = Path.cwd()
    for top in (here, Path(os.__file__).parent):
        for path in top.rglob("*"):
            try:
                handle = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
            except OSError:
                continue
            with suppress(OSError):  # a folder, a pipe, or a file system that cannot
                os.posix_fadvise(handle, 0, 0, os.POSIX_FADV_DONTNEED)
                if path.suffix == ".pyc" and top == here:
                    files += 1
                    size += os.fstat(handle).st_size
            os.close(handle)
    return files, size


def begin(handler: str, *options: str, way: str = "") -> tuple[dict[str, object], str]:
    """Start an interpreter. Returns its figures, empty if the handler cannot be imported, and its errors."""
    import json
    import subprocess
    from tempfile import TemporaryFile

    with TemporaryFile() as figures:  # a pipe holds less than the paths of all opened files
        command = (sys.executable, *options, __file__, "start", handler, str(figures.fileno()))
        with subprocess.Popen(
            (*command, str(time.monotonic()), way),
            pass_fds=(figures.fileno(),),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
        ) as child:
            try:
                errors = child.communicate(timeout=_SECONDS)[1].decode("utf-8", "replace")
            except subprocess.TimeoutExpired:
                child.kill()
                return {}, "timed out"
        figures.seek(0)
        written = figures.read()
    return json.loads(written or b"{}"), errors


def start(handler: str, began: float, way: str) -> dict[str, object]:
    """Import the runtime client and the handler. Returns milliseconds of each, CPU, KiB and compilations."""
    wall, cpu = [began, time.monotonic()], [0.0, time.process_time()]
    here = os.getcwd()  # noqa: PTH109 - pathlib would be imported before the handler
    sys.path[0] = here  # as awslambdaric does; it was this file's folder
    sys.path.append(_RUNTIME)
    opened: set[str] = set()
    if way == _OPENED:
        sys.addaudithook(lambda event, values: note_opened(opened, event, values))
    try:  # noqa: SIM105 - as would contextlib
        __import__("awslambdaric.bootstrap")
    except ImportError:  # another runtime interface client
        pass
    wall.append(time.monotonic())
    cpu.append(time.process_time())
    if way == _WITHOUT:
        without_bytecode(here + os.sep)
    count_compilations()
    name, _, function = handler.rpartition(".")
    getattr(__import__(name.replace("/", "."), fromlist=[function]), function)
    wall.append(time.monotonic())
    cpu.append(time.process_time())

    return {
        "wall": [1000 * (wall[at + 1] - wall[at]) for at in range(3)],
        "cpu": [1000 * (cpu[at + 1] - cpu[at]) for at in range(3)],
        "peak": peak(),
        "compiled": Compiling.modules,
        "compiling": 1000 * Compiling.seconds,
        "opened": sorted(opened | mapped()) if way == _OPENED else [],
    }


def note_opened(opened: set[str], event: str, values: tuple[object, ...]) -> None:
    """Note a file that Python opens: a module, its bytecode, data. An audit hook."""
    if event == "open" and isinstance(values[0], str):
        opened.add(os.path.abspath(values[0]))  # noqa: PTH100 - pathlib would be imported before the handler


def mapped() -> set[str]:
    """Return the files that are mapped into memory: extension modules, and the libraries they need."""
    with open("/proc/self/maps", encoding="utf-8", errors="replace") as lines:  # noqa: PTH123 - as below
        return {"/" + line.rstrip("\n").partition("/")[2] for line in lines if "/" in line}


def peak() -> int:
    """Return the peak memory of this process in KiB. ``ru_maxrss`` would include that of its parent."""
    with open("/proc/self/status", encoding="ascii", errors="replace") as lines:  # noqa: PTH123 - as above
        return next((int(line.split()[1]) for line in lines if line.startswith("VmHWM:")), 0)


def count_compilations() -> None:
    """Count what the import system compiles from source."""
    importing: Any = sys.modules["_frozen_importlib_external"]
    compile_source = importing.SourceLoader.source_to_code

    def counted(*values: object, **options: object) -> CodeType:
        begun = time.process_time()
        try:
            code: CodeType = compile_source(*values, **options)
            return code
        finally:
            Compiling.modules += 1
            Compiling.seconds += time.process_time() - begun

    importing.SourceLoader.source_to_code = counted


def without_bytecode(top: str) -> None:
    """Hide the .pyc files below a folder from the import system, as if the image had none."""
    importing: Any = sys.modules["_frozen_importlib_external"]
    find = importing.cache_from_source

    def hidden(path: str, *values: object, **options: object) -> str:
        if path.startswith(top):
            raise NotImplementedError  # means to the import system: bytecode is not supported
        found: str = find(path, *values, **options)
        return found

    importing.cache_from_source = hidden


def main() -> None:
    """Do what the command line asks for."""
    way = sys.argv[1]
    found = measure(sys.argv[2]) if way == "measure" else start(sys.argv[2], float(sys.argv[4]), sys.argv[5])
    import json

    with os.fdopen(int(sys.argv[3]) if way == "start" else 1, "w") as target:
        json.dump(found, target)


if __name__ == "__main__":
    main()
