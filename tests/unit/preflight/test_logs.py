"""The rules backwards: the last lines of a function that fails name the rule. Each rule is documented."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from lamina.preflight.check import RULES, matching
from lamina.smoke.answer import RawResponse, judge

PAGE = Path(__file__).parents[3] / "docs" / "preflight.md"
RAPID = "25 Nov 2026 23:42:53,932 [ERROR] (rapid) Init failed error="
LINES = {
    RAPID + '"fork/exec /run.sh: exec format error"': "LAM613",
    RAPID + '"fork/exec /run.sh: no such file or directory"': "LAM613",
    RAPID + '"fork/exec /run.sh: permission denied"': "LAM613",
    "entrypoint requires the handler name to be the first argument": "LAM611",
    "/usr/local/bin/python: No module named awslambdaric": "LAM612",
    "python: error while loading shared libraries: libpython3.13.so.1.0: cannot open": "LAM614",
    "/bin/sh: yum: command not found": "LAM621",
    "ImportError: /lib64/libc.so.6: version `GLIBC_2.28' not found (required by x.so)": "LAM626",
    "[ERROR] Runtime.ImportModuleError: Unable to import module 'app': No module named 'requests'": "LAM631",
    "PermissionError: [Errno 13] Permission denied: '/root/.local/lib'": "LAM632",
    "FileNotFoundError: [Errno 2] No such file or directory: '/tmp/model.bin'": "LAM633",
    "FileNotFoundError: [Errno 2] No such file or directory: '/var/task/prompts/a.txt'": "LAM643",
    "[ERROR] Runtime.UserCodeSyntaxError: Syntax error in module 'app': invalid syntax": "LAM641",
    "OSError: [Errno 30] Read-only file system: '/home/sbx_user1051'": "LAM644",
    "OSError: [Errno 38] Function not implemented": "LAM644",
    "_pickle.UnpicklingError: invalid load key, 'v'.": "LAM645",
    "Unable to import module 'app': cannot import name 'size' from 'lib' (unknown location)": "LAM645",
    "the 'package' argument is required to perform a relative import for '.var.task.app'": "LAM611",
    "Unable to import module 'python app': No module named 'python app'": "LAM611",
    "    sl = self._semlock = _multiprocessing.SemLock(": "LAM644",
    "[ERROR] Runtime.ImportModuleError: Unable to import module 'app': No module named 'telnetlib'": "LAM641",
    "FileNotFoundError: [Errno 2] No such file or directory: 'config.json'": "LAM643",
    RAPID + "Runtime exited without providing a reason": "LAM612",
}


@pytest.mark.parametrize(("line", "rule"), LINES.items())
def test_the_last_lines_of_a_function_name_a_rule(line: str, rule: str) -> None:
    found = matching(["loading the model", line, "END RequestId: 1"])

    assert found is not None
    assert found.id == rule


def test_a_line_with_one_cause_comes_before_a_later_one_with_many() -> None:
    lines = [
        RAPID + "fork/exec /run.sh: permission denied",
        "(rapid) Invoke DONE failed: Runtime.InvalidEntrypoint",
    ]

    found = matching(lines)

    assert found is not None
    assert found.id == "LAM613"


def test_other_lines_name_none() -> None:
    assert matching(["ValueError: no good", "KeyError: 'id'"]) is None


def test_a_function_that_writes_nothing_itself_is_explained_by_the_emulator() -> None:
    raw = RawResponse(status=502, body="", log=RAPID + '"fork/exec /run.sh: exec format error"\n')

    answer = judge(raw, memory=128)

    assert answer.log == ()
    assert answer.failure is not None
    assert (answer.failure.advice or "").startswith(
        "LAM613 entry-script, see invoke rule LAM613: check the script"
    )


@pytest.mark.parametrize(
    "line",
    [
        '(rapid) Init failed error="fork/exec /run.sh: permission denied"',
        "(rapid) Init failed error=fork/exec /run.sh: permission denied InvokeID=",
        "(rapid) Init failed InvokeID= error=fork/exec /run.sh: permission denied",
    ],
)
def test_a_runtime_that_ends_says_why(line: str) -> None:
    failure = judge(RawResponse(status=502, log=f"START RequestId: 1\n{line}\nmore\n"), memory=128).failure

    assert failure is not None
    assert failure.message == (
        "the runtime ended before it was ready: fork/exec /run.sh: permission denied (HTTP 502)"
    )


def test_a_module_that_no_package_provides_is_named() -> None:
    body = json.dumps(
        {
            "errorType": "Runtime.ImportModuleError",
            "errorMessage": "Unable to import module 'app': No module named 'yaml'",
        }
    )

    failure = judge(RawResponse(status=200, body=body), memory=128).failure

    assert failure is not None
    assert (failure.advice or "").startswith("the function finds no module yaml: add the distribution that")
    assert "invoke rule LAM631" in (failure.advice or "")


def test_an_error_that_no_rule_explains_has_no_advice() -> None:
    body = json.dumps({"errorType": "ValueError", "errorMessage": "no good"})

    assert judge(RawResponse(status=200, body=body), memory=128).failure.advice is None  # type: ignore[union-attr]


def test_every_rule_has_a_section_in_the_docs() -> None:
    sections = re.findall(r"^### (LAM\d+) ([\w-]+)$", PAGE.read_text("utf-8"), re.MULTILINE)

    assert sections == [(rule.id, rule.slug) for rule in RULES]


def test_a_build_is_not_explained_by_what_happens_to_functions() -> None:
    """A test that a step runs writes such lines too, and what to do is different there."""
    lines = ["exec /bin/sh: exec format error", "SyntaxError: invalid syntax", "No module named 'app._core'"]

    assert matching(lines, build=True) is None
    assert matching(["ERROR: Could not open requirements file: [Errno 2]", "exit code: 1"], build=True)
