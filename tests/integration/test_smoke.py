"""`smoke`: functions answer under the conditions of Lambda, or the reason is reported."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from conftest import TestEngine
from projects import Done, Repo, wait_for

import lamina
from lamina.smoke.container import LABEL

pytestmark = pytest.mark.engine

RUNTIME = "public.ecr.aws/lambda/python:3.13"
FUNCTIONS = {
    "fine": 'def handler(event, context):\n    return {**event, "mb": context.memory_limit_in_mb}\n\n\n'
    'def other(event, context):\n    import os\n\n    return os.environ["TABLE"]\n',
    "raises": 'def handler(event, context):\n    print("looking")\n    raise KeyError("receipt-1")\n',
    "slow": "import time\n\n\ndef handler(event, context):\n    time.sleep(60)\n",
    "writes": "from pathlib import Path\n\n\ndef handler(event, context):\n"
    '    Path("/tmp/draft").write_text("fine")\n    Path("/var/task/draft").write_text("not so")\n',
    "lacks": "import nosuchmodule\n\n\ndef handler(event, context): ...\n",
    "eats": "def handler(event, context):\n    return len(b'x' * (200 << 20))\n",
}
CREDENTIALS = {"AWS_ACCESS_KEY_ID": "mine", "AWS_SECRET_ACCESS_KEY": "mine"}


def instances(engine: TestEngine) -> list[str]:
    """The containers of `smoke` that still exist."""
    return engine.call("ps", "--all", "--quiet", "--filter", f"label={LABEL}").split()


def answers(done: Done) -> dict[str, dict[str, Any]]:
    return {each["name"]: each for each in done.json["images"]}


@pytest.fixture
def functions(repo: Repo) -> Repo:
    """A small function for each thing that may happen, all built."""
    for name, text in FUNCTIONS.items():
        repo.write(f"src/{name}/handler.py", text)
        repo.write(
            f"dockerfiles/fn-{name}/Dockerfile",
            f'FROM {RUNTIME}\nCOPY --link src/{name}/handler.py /var/task/\nCMD ["handler.handler"]\n',
        )
    repo.write("src/fine/event.json", '{"receipt": 1}')
    repo.ok("build-all")
    return repo


def test_a_function_of_the_sample_answers_its_event(sample: Repo, engine: TestEngine) -> None:
    found = answers(sample.ok("smoke", "--json", "--image", "lambda-word-label"))

    assert found["lambda-word-label"]["payload"] == {
        "receipt_id": "receipt-1",
        "table": None,
        "words": 4,
        "labelled": 3,
        "by_label": {"MERCHANT_NAME": ["GREEN", "MARKET"], "TOTAL": ["$8.11"]},
        "unlabelled": ["TOTAL"],
    }
    assert instances(engine) == []


@pytest.mark.nightly
def test_a_function_with_large_dependencies_answers_its_event(sample: Repo, engine: TestEngine) -> None:
    found = answers(sample.ok("smoke", "--json"))

    assert set(found) == {"lambda-word-label", "lambda-embedding"}
    embedding = found["lambda-embedding"]
    assert [line["line_id"] for line in embedding["payload"]["embedded"]] == [1, 2, 3, 4, 5, 6, 7]
    assert embedding["payload"]["results"][0]["text"] == "ORGANIC BANANAS 2.49"
    assert embedding["init_ms"] > embedding["duration_ms"] > 0
    assert 50 < embedding["memory_mb"] < 1024
    assert instances(engine) == []


def test_an_event_that_the_function_refuses_is_its_failure(sample: Repo) -> None:
    sample.write("wrong.json", '{"receipt_id": "receipt-1", "words": []}')

    done = sample.fails(1, "smoke", "--image", "lambda-word-label", "--event", "wrong.json")

    assert (
        "error: lambda-word-label: handler.handler: ValueError: words must have at least one word"
        in done.stderr
    )
    assert 'File "/var/task/handler.py", line' in done.stdout


def test_files_written_under_a_narrow_umask_can_be_read(sample: Repo) -> None:
    for file in Path(sample.root / "receipts").rglob("*"):
        file.chmod(file.stat().st_mode & ~0o077)
    sample.append("receipts/word_label_step_functions/handler.py", "# for a build of its own\n")
    assert sample.ok("build-all", "--json").built == ["lambda-word-label"]

    done = sample.ok("smoke", "--image", "lambda-word-label", "--json")

    assert done.images("payload")["lambda-word-label"]["labelled"] == 3


def test_failures_are_reported_as_lambda_does(functions: Repo, engine: TestEngine) -> None:
    done = functions.run("smoke", "--timeout", "3", "--memory", "128", "--json", env=CREDENTIALS)

    assert done.code == 1, done.text
    found = answers(done)
    errors = {name: each["error"]["type"] for name, each in found.items() if each["error"]}
    assert errors == {
        "fn-raises": "KeyError",
        "fn-slow": "Sandbox.Timedout",
        "fn-writes": "OSError",
        "fn-lacks": "Runtime.ImportModuleError",
        "fn-eats": "Runtime.OutOfMemory",
    }
    assert found["fn-fine"]["payload"] == {"receipt": 1, "mb": "128"}
    assert found["fn-fine"]["init"]["phases"].keys() == {"interpreter", "client", "imports", "handler"}
    assert "init" not in found["fn-raises"]
    assert found["fn-raises"]["log"][0] == "looking"
    assert found["fn-raises"]["error"]["trace"][0].startswith('  File "/var/task/handler.py", line 3')
    assert found["fn-slow"]["error"]["message"] == "Task timed out after 3.00 seconds"
    assert "Read-only file system: '/var/task/draft'" in found["fn-writes"]["error"]["message"]
    assert "No module named 'nosuchmodule'" in found["fn-lacks"]["error"]["message"]
    assert "fn-slow: handler.handler: Sandbox.Timedout: Task timed out after 3.00 seconds" in done.told
    assert instances(engine) == []

    other = ("smoke", "--image", "fn-fine", "--command", "handler.other", "--env", "TABLE=receipts", "--json")
    assert functions.ok(*other).images("payload") == {"fn-fine": "receipts"}

    with functions.running("smoke", "--image", "fn-slow") as child:
        wait_for("the instance", lambda: instances(engine))
        child.send_signal(signal.SIGINT)
        child.communicate()
        assert child.returncode == 130
    assert instances(engine) == []


def test_images_that_cannot_be_invoked_are_reported(tiny: Repo) -> None:
    not_built = tiny.fails(3, "smoke")
    assert "the engine: " in not_built.stderr
    assert ": lambda-tiny (sha-" in not_built.stderr
    assert "python -m lamina build-all --image lambda-tiny" in not_built.stderr
    assert "no lambda image is selected" in tiny.fails(3, "smoke", "--image", "base-label").stderr
    tiny.ok("build-all")
    assert "the image has no python3" in tiny.fails(1, "smoke").stderr
    platforms = ["linux/amd64", "linux/arm64"]
    own, other = platforms if os.uname().machine == "x86_64" else reversed(platforms)
    foreign = tiny.fails(3, "smoke", "--platform", other).stderr
    assert f"lambda-tiny: built for {other}; the engine is {own}" in foreign
    assert f"build-all --platform {own} and " in foreign
    tiny.append("src/handler.py", "# edited\n")
    again = tiny.fails(3, "smoke", "--platform", own).stderr
    assert f"build-all --image lambda-tiny --platform {own}\n" in again


def test_concurrent_downloads_of_the_emulator_do_not_collide(tmp_path: Path) -> None:
    script = (
        "from lamina.process import SubprocessRunner; from lamina.smoke.emulator import emulator; "
        "print(emulator(SubprocessRunner(), 'amd64', lambda line: None))"
    )
    env = {
        **os.environ,
        "LAMINA_CACHE": str(tmp_path),
        "PYTHONPATH": str(Path(lamina.__file__).parents[1]),
    }
    runs = [
        subprocess.Popen([sys.executable, "-c", script], env=env, stdout=subprocess.PIPE, text=True)
        for _ in range(2)
    ]
    paths = {run.communicate()[0].strip() for run in runs}
    assert [run.returncode for run in runs] == [0, 0]
    (file,) = map(Path, paths)
    assert os.access(file, os.X_OK)
    assert sorted(each.name for each in file.parent.iterdir()) == [".lock", file.name]


def test_an_edited_source_never_meets_its_old_bytecode(repo: Repo) -> None:
    repo.write("src/handler.py", "import value\n\n\ndef handler(event, context):\n    return value.VALUE\n")
    repo.write("src/value.py", "VALUE = 1\n")
    repo.write(
        "dockerfiles/fn-compiled/Dockerfile",
        f"FROM {RUNTIME} AS code\nCOPY src/ /rootfs/var/task/\n"
        "RUN python3 -m compileall -q -s /rootfs -p / --invalidation-mode unchecked-hash /rootfs/var/task\n"
        f'FROM {RUNTIME}\nCOPY --link --from=code /rootfs/ /\nCMD ["handler.handler"]\n',
    )
    repo.ok("build-all")
    first = answers(repo.ok("smoke", "--json"))["fn-compiled"]
    repo.write("src/value.py", "VALUE = 2\n")  # of the same length, staged with the same time
    repo.write("pyproject.toml", '[tool.lamina.images.fn-compiled]\nmax-init = "1ms"\n')
    repo.ok("build-all")

    done = repo.fails(1, "smoke")

    assert first["payload"] == 1
    assert first["init"]["compiled"] == 0
    assert first["init"]["bytecode"]["files"] == 2
    assert first["init"]["without_bytecode_cpu_ms"] > 0
    assert "fn-compiled handler.handler answered 2" in done.stdout
    assert "2 .pyc files" in done.stdout
    assert "allowed: max-init: 1 ms" in done.stderr
