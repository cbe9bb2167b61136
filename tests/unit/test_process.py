"""The one module that starts processes, with real ones."""

from __future__ import annotations

import os
import signal
import sys
import threading
import time
from pathlib import Path

import pytest

from lamina.process import Command, Completed, SubprocessRunner

PYTHON = sys.executable


def python(script: str, **more: object) -> Command:
    return Command(argv=(PYTHON, "-c", script), **more)  # type: ignore[arg-type]


def test_commands_print_as_they_would_be_typed() -> None:
    command = Command(argv=("docker", "tag", "a b", "c"), env={"X": "1 2"}, stdin=b"secret")

    assert str(command) == "X='1 2' docker tag 'a b' c"
    assert "secret" not in repr(command)


def test_run_captures_both_streams_and_the_code() -> None:
    done = SubprocessRunner().run(
        python("import sys; print('out'); print('err', file=sys.stderr); sys.exit(3)")
    )

    assert done == Completed(code=3, stdout="out\n", stderr="err\n")
    assert not done.ok


def test_children_read_what_they_are_given(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("INHERITED", "yes")
    script = (
        "import os, sys; print(sys.stdin.read(), os.environ['ADDED'], os.environ['INHERITED'], os.getcwd())"
    )

    done = SubprocessRunner().run(python(script, env={"ADDED": "too"}, cwd=tmp_path, stdin=b"word"))

    assert done.stdout == f"word too yes {tmp_path}\n"


def test_children_do_not_wait_for_the_keyboard() -> None:
    assert SubprocessRunner().run(python("import sys; print(repr(sys.stdin.read()))")).stdout == "''\n"


def test_bytes_that_are_no_text_are_replaced() -> None:
    done = SubprocessRunner().run(python("import sys; sys.stdout.buffer.write(b'a\\xffb')"))

    assert done.stdout == "a\ufffdb"


def test_a_missing_program_is_127() -> None:
    for done in (
        SubprocessRunner().run(Command(argv=("no-such-program",))),
        SubprocessRunner().stream(Command(argv=("no-such-program",)), print),
    ):
        assert done.code == 127
        assert done.stderr == "no-such-program: No such file or directory"


def test_time_over_is_124() -> None:
    done = SubprocessRunner().run(python("import time; time.sleep(60)"), timeout=0.2)

    assert done.code == 124
    assert "no answer within 0.2 s" in done.stderr


def test_stream_hands_over_lines_as_they_come() -> None:
    script = "import sys; [print(n, file=sys.stderr, flush=True) for n in (1, 2)]; sys.exit(4)"
    lines: list[str] = []

    done = SubprocessRunner().stream(python(script), lines.append)

    assert lines == ["1", "2"]
    assert done == Completed(code=4, stderr="1\n2")


def test_a_silent_stream_is_looked_at_all_the_same() -> None:
    """What the look raises ends the program, however long it would go on."""

    class EnoughError(Exception):
        pass

    lines: list[str] = []

    def look() -> None:
        if lines:
            raise EnoughError

    script = "import sys, time; print('one', file=sys.stderr, flush=True); time.sleep(600)"
    with pytest.raises(EnoughError):
        SubprocessRunner().stream(python(script), lines.append, tick=look)

    assert lines == ["one"]


def test_a_last_line_needs_no_end() -> None:
    lines: list[str] = []

    SubprocessRunner().stream(python("import sys; sys.stderr.write('a\\n\\nb')"), lines.append)

    assert lines == ["a", "", "b"]


def test_an_interrupted_stream_ends_its_child(tmp_path: Path) -> None:
    mark = tmp_path / "stopped"
    script = (
        "import pathlib, signal, sys\n"
        # Not a handler and a sleep: a signal in the microsecond before the sleep would not end it.
        "signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGINT])\n"
        "print('ready', file=sys.stderr, flush=True)\n"
        "signal.sigwait([signal.SIGINT])\n"
        f"pathlib.Path({str(mark)!r}).write_text('asked')\n"
    )

    def interrupt(line: str) -> None:
        assert line == "ready"
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        SubprocessRunner().stream(python(script), interrupt)

    assert mark.read_text() == "asked"


@pytest.mark.parametrize("number", ["SIGINT", "SIGTERM"])
def test_an_interrupt_while_a_child_is_started_is_not_lost(number: str) -> None:
    """Python drops what is raised in a hook of a fork; the child would run on to its end."""
    script = (
        "import os, signal\n"
        "from lamina.process import Command, SubprocessRunner\n"
        f"signal.signal(signal.{number}, signal.default_int_handler)\n"
        f"os.register_at_fork(after_in_parent=lambda: signal.raise_signal(signal.{number}))\n"
        "try:\n"
        "    print(SubprocessRunner().stream(Command(argv=('sleep', '20')), print))\n"
        "except KeyboardInterrupt:\n"
        "    print('interrupted')\n"
        "try:\n"
        "    os.waitpid(-1, 0)\n"
        "except ChildProcessError:\n"
        "    print('no child left')\n"
    )

    done = SubprocessRunner().run(python(script, env={"PYTHONPATH": os.pathsep.join(sys.path)}))

    assert done == Completed(code=0, stdout="interrupted\nno child left\n")


def test_a_daemon_outlives_the_call_and_writes_its_log(tmp_path: Path) -> None:
    log = tmp_path / "log"
    log.write_text("before\n")

    pid = SubprocessRunner().spawn(python("import os; print(os.getsid(0), flush=True)"), log=log)

    reaper = threading.Thread(target=os.waitpid, args=(pid, 0))
    reaper.start()
    reaper.join(10)
    if reaper.is_alive():
        os.kill(pid, signal.SIGKILL)
    deadline = time.monotonic() + 10
    while log.read_text() == "before\n" and time.monotonic() < deadline:
        time.sleep(0.01)
    assert log.read_text() == f"before\n{pid}\n"


def test_a_program_that_cannot_be_run_is_code_126(tmp_path: Path) -> None:
    script = tmp_path / "script"
    script.write_text("#!/bin/sh\n")
    script.chmod(0o644)

    done = SubprocessRunner().run(Command(argv=(str(script),)))

    assert done.code == 126
    assert f"{script}: Permission denied" in done.stderr
