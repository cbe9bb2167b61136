"""`lamina watch` as people use it: started once, then files are saved."""

from __future__ import annotations

import signal
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import IO

import pytest
from conftest import TestEngine
from projects import Repo, wait_for

from lamina.smoke.container import LABEL

pytestmark = pytest.mark.engine

RUNTIME = "public.ecr.aws/lambda/python:3.13"
FOLDER = "receipts/word_label_step_functions"
HANDLER = f"{FOLDER}/handler.py"
TABLE = "image  "
BUILT = "1 built, "
QUICK = "from a running container with the edited files; its image is next"
SAME = "is built and answers the same"


class Watch:
    """A running watch and all that it has said so far, both streams in one."""

    def __init__(self, child: subprocess.Popen[str]) -> None:
        self.child = child
        self.lines: list[str] = []
        self._readers = [
            threading.Thread(target=self._read, args=(stream,), daemon=True)
            for stream in (child.stdout, child.stderr)
            if stream
        ]
        for reader in self._readers:
            reader.start()

    def _read(self, stream: IO[str]) -> None:
        for line in stream:
            self.lines.append(line.rstrip())

    def says(self, words: str, *, since: int = 0) -> str:
        """Wait for a line with these words, among those after the first ``since``."""

        def found() -> list[str]:
            return [line for line in self.lines[since:] if words in line]

        wait_for(f"{words!r} in {self.lines}", found)
        return found()[0]

    def at(self, words: str, since: int) -> int:
        """The number of the first line with these words, from ``since`` on."""
        return next(number for number in range(since, len(self.lines)) if words in self.lines[number])

    def count(self, words: str) -> int:
        return sum(words in line for line in self.lines)

    def stop(self) -> int:
        self.child.send_signal(signal.SIGINT)
        wait_for(f"its end, after {self.lines}", lambda: self.child.poll() is not None, seconds=30)
        for reader in self._readers:
            reader.join(10)
        return self.child.returncode


@contextmanager
def watching(repo: Repo, *words: str) -> Iterator[Watch]:
    with repo.running("watch", "--plain", *words) as child:
        yield Watch(child)


def test_a_watch_builds_and_invokes_saved_functions(sample: Repo, engine: TestEngine) -> None:
    handler = (sample.root / HANDLER).read_text()
    with watching(sample, "--smoke", "--image", "lambda-word-label") as watch:
        watch.says("images are up to date")

        sample.write(HANDLER, handler.replace('"table": table_name', '"table": "changed"'))
        watch.says(f"{HANDLER} modified")
        watch.says(BUILT)
        assert '"table": "changed"' in watch.says("lambda-word-label handler.handler answered")
        assert watch.count(QUICK) == 0

        sample.write(HANDLER, handler + "def broken(:\n")
        last = len(handler.splitlines()) + 1
        assert watch.says("error: ") == f"error: {HANDLER}:{last}: invalid syntax"
        watch.says("waiting for the next save")
        assert watch.count(BUILT) == 1

        # From now on a container waits for the next save, and answers before the image is built.
        since = len(watch.lines)
        sample.write(HANDLER, handler.replace('"table": table_name', '"table": "mended"'))
        watch.says(SAME)
        order = [watch.at(words, since) for words in ('"mended"', QUICK, BUILT, SAME)]
        assert order == sorted(order)
        assert watch.count(BUILT) == 2

        sample.append("receipts/README.md", "More words.\n")
        watch.says("nothing to build: receipts/README.md reaches no image")

        sample.write(HANDLER, handler.replace("def handler(", "raise KeyError(1)\n\n\ndef handler("))
        assert "KeyError" in watch.says("error: lambda-word-label: handler.handler: ")
        watch.says("is built and fails with KeyError too")
        assert watch.count(BUILT) == 3

        # The code of a base, above which the image has code only; and two saves that are one round, or two.
        since = len(watch.lines)
        sample.write(HANDLER, handler.replace('"table": table_name', '"table": "again"'))
        sample.append("receipts/receipt_dynamo/receipt_dynamo/entities.py", "# once\n")
        sample.append("receipts/receipt_dynamo/receipt_dynamo/entities.py", "# twice\n")
        watch.says("base-receipt-dynamo", since=since)
        assert '"again"' in watch.says(" answered ", since=since)
        watch.says(SAME, since=since)

        sample.replace("dockerfiles/lambda-word-label/Dockerfile", "handler.py", "handlr.py")
        assert "dockerfiles/lambda-word-label/Dockerfile:5: COPY" in watch.says("there is no such file")

        assert watch.stop() == 0
        assert watch.lines[-1] == "stopped watching"
    assert engine.call("ps", "--all", "--quiet", "--filter", f"label={LABEL}") == ""


def test_a_waiting_container_has_exactly_the_files_of_the_image(repo: Repo, engine: TestEngine) -> None:
    repo.write("src/handler.py", LISTS)
    repo.write("src/pack/one.py", "ONE = 1\n")
    repo.write("batch/batch.py", LISTS)
    for name, image in (("fn-list", "src"), ("fn-batch", "batch")):
        repo.write(
            f"dockerfiles/{name}/Dockerfile",
            f"FROM {RUNTIME}\nCOPY --link --chown=993:990 {image}/ /var/task/\nCOPY --link own/ /opt/own/\n"
            f'CMD ["{image.replace("src", "handler")}.handler"]\n',
        )
    repo.write("own/data.txt", "1\n")
    with watching(repo, "--smoke") as watch:
        watch.says("fn-list handler.handler answered")
        watch.says("fn-batch batch.handler answered")
        since = len(watch.lines)

        # Of two images, in one round: new, changed, executable, a link, a file in a new folder.
        repo.write("own/data.txt", "22\n")
        repo.write("src/new/deep/two.py", "TWO = 2\n")
        repo.write("src/run.sh", "#!/bin/sh\n")
        (repo.root / "src/run.sh").chmod(0o700)
        (repo.root / "src/link").symlink_to("pack/one.py")
        repo.append("src/handler.py", "# last\n")
        last = f"handler.py 644 993 990 315532800.0 {(repo.root / 'src/handler.py').stat().st_size}"
        parts = ("data.txt 644 0 0", last, "new/deep/two.py 644 993 990", "run.sh 755 993", "link 777 993")
        wait_for(
            "all files",
            lambda: any(
                line.startswith("fn-list") and all(part in line for part in parts) for line in watch.lines
            ),
        )
        for name in ("fn-list", "fn-batch"):
            watch.says(f"{name} ", since=since)
            wait_for(f"{name} built", lambda name=name: confirmed(watch, name, since))
        assert watch.count("another answer") == 0
        assert watch.count("Read-only file system: '/opt/own/draft'") >= 2

        # A container does not forget files: the image without one is built first.
        since, quick = len(watch.lines), watch.count(QUICK)
        (repo.root / "src/pack/one.py").unlink()
        watch.says("fn-list handler.handler answered", since=since)
        assert watch.count(QUICK) == quick

        assert watch.stop() == 0
    assert engine.call("ps", "--all", "--quiet", "--filter", f"label={LABEL}") == ""


def confirmed(watch: Watch, name: str, since: int) -> bool:
    return any(line.startswith(name) and line.endswith(SAME) for line in watch.lines[since:])


def test_a_save_during_a_build_is_one_more_round_and_ctrl_c_stops_a_build(tiny: Repo) -> None:
    tiny.write("dockerfiles/lambda-tiny/Dockerfile", SLOW)
    with watching(tiny) as watch:
        wait_for("the first build", lambda: list(tiny.root.glob(".lamina/runs/*/bake-1.json")))
        for number in range(3):
            tiny.append("src/handler.py", f"# {number}\n")
        watch.says("3 built, ")
        watch.says(BUILT)
        assert len(list(tiny.root.glob(".lamina/runs/*"))) == 2

        tiny.append("src/handler.py", "# last\n")
        wait_for("a build", lambda: len(list(tiny.root.glob(".lamina/runs/*/bake-1.json"))) == 3)
        assert watch.stop() == 0
        assert watch.count("nothing to build") == 0, "the three saves were one more round"
    assert all("handler" not in str(each) for each in (tiny.root / ".lamina").rglob(".new-*"))


SLOW = """\
FROM public.ecr.aws/lambda/python:3.13 AS slow
COPY src/handler.py /
RUN sleep 2
FROM base-label:stable
COPY --link --from=slow /handler.py /var/task/
CMD ["handler.handler"]
"""
LISTS = """\
import os


def handler(event, context):
    found = []
    for top in ("/var/task", "/opt/own"):
        for folder, folders, files in os.walk(top):
            for name in sorted(folders + files):
                path = os.path.join(folder, name)
                it = os.lstat(path)
                size = it.st_size if name in files else ""
                found.append(f"{path} {it.st_mode & 0o777:o} {it.st_uid} {it.st_gid} {it.st_mtime} {size}")
    for folder in ("/var/task", "/opt/own", "/var/tmp", "/usr"):
        try:
            open(f"{folder}/draft", "w")
        except OSError as error:
            found.append(str(error))
    return [line.replace("/var/task/", "") for line in sorted(found)]
"""
