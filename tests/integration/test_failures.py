"""Failures are reported with the next step and an exit code; no partial result is left or recorded."""

from __future__ import annotations

import grp
import json
import os
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from conftest import TestEngine, sampled
from projects import Done, Repo, wait_for

pytestmark = pytest.mark.engine

ALL = {"base-dynamo", "base-label", "lambda-tiny"}
NOWHERE = "tcp://127.0.0.1:1"
RUNTIME = "FROM public.ecr.aws/lambda/python:3.13\n"
HANDLER = "dockerfiles/lambda-tiny/Dockerfile"


def left_behind(repo: Repo) -> list[str]:
    """Leftovers of a run: drafts of files and of staged contexts."""
    return [str(path) for path in (repo.root / ".lamina").rglob(".*") if path.name != ".gitignore"]


def bakes(repo: Repo) -> list[int]:
    """The processes that build this repository."""
    found = []
    for folder in Path("/proc").iterdir():
        if folder.name.isdecimal():
            try:
                words = (folder / "cmdline").read_bytes().decode(errors="replace").split("\0")
            except OSError:
                continue
            if "bake" in words and any(str(repo.root) in word for word in words):
                found.append(int(folder.name))
    return found


class TestSelection:
    def test_an_unknown_image(self, tiny: Repo) -> None:
        for command in ("plan", "build-all"):
            done = tiny.fails(3, command, "--image", "nosuch", "--json")
            assert "there is no image 'nosuch'" in done.told
            assert "lambda-tiny" in done.told

    def test_every_error_is_one_object_in_json(self, tiny: Repo) -> None:
        tiny.append(HANDLER, "COPY src/handlr.py /var/task/\n")
        done = tiny.fails(2, "build-all", "--json")
        assert (done.json["schema"], done.json["command"], done.json["ok"]) == (1, "build-all", False)
        assert done.json["images"] == []
        assert [each["level"] for each in done.json["messages"]] == ["error"]
        assert f"{HANDLER}:4" in done.told
        assert "src/handler.py" in done.told
        plain = tiny.fails(2, "build-all")
        assert plain.stdout == ""
        assert "error: " in plain.stderr

    def test_check_fails_while_the_plan_has_work(self, tiny: Repo) -> None:
        tiny.fails(7, "plan", "--check")
        tiny.ok("build-all")
        tiny.ok("plan", "--check")
        tiny.fails(7, "plan", "--check", "--force")

    def test_offline_sends_no_request(self, tiny: Repo) -> None:
        away = {"LAMINA_ENGINE": "nobody-started-this", "LAMINA_REGISTRY": "127.0.0.1:1"}
        for command in (("plan", "--offline"), ("tag",)):
            tiny.ok(*command, "--json", env=away)
        plan = tiny.ok("plan", "--offline", "--json")
        assert plan.images("reasons")["lambda-tiny"] == ["unknown whether it exists: --offline"]
        assert plan.images("tag") == tiny.ok("plan", "--json").images("tag")

    def test_one_job_builds_one_image_at_a_time(self, tiny: Repo) -> None:
        done = tiny.ok("build-all", "--jobs", "1", "--json")
        assert set(done.built) == ALL
        (run,) = (tiny.root / ".lamina/runs").iterdir()
        assert len(list(run.glob("bake-*.json"))) == 3
        forced = tiny.ok("build-all", "--force", "--json")
        assert set(forced.built) == ALL


class TestNoEngine:
    """No engine, or not one that can build."""

    def test_the_chosen_engine_does_not_answer(self, tiny: Repo) -> None:
        del tiny.env["LAMINA_ENGINE"]
        done = tiny.fails(4, "build-all", "--json", env={"DOCKER_HOST": NOWHERE})
        assert f"no Docker engine answers at {NOWHERE}" in done.told
        assert "unset DOCKER_HOST" in done.told
        assert tiny.recorded == {}
        far = tiny.fails(4, "build-all", "--json", env={"DOCKER_HOST": "ssh://nobody@far.invalid"})
        assert "far.invalid" in far.told
        assert "unset DOCKER_HOST" not in far.told
        plan = tiny.ok("plan", "--json", env={"DOCKER_HOST": NOWHERE})
        for reasons in plan.images("reasons").values():
            assert reasons == ["unknown whether it exists: no engine answers"]
        assert plan.told.count(f"not looked: no Docker engine answers at {NOWHERE}") == 1

    @pytest.mark.skipif(os.geteuid() != 0, reason="gives a socket away")
    def test_a_user_without_rights_on_the_socket(self, tiny: Repo) -> None:
        del tiny.env["LAMINA_ENGINE"]
        group = next(each for each in grp.getgrall() if each.gr_gid)
        words = ("setpriv", "--bounding-set=-dac_override,-dac_read_search")  # root, with a user's rights
        with TemporaryDirectory(prefix="sock-") as folder, socket.socket(socket.AF_UNIX) as server:
            path = f"{folder}/docker.sock"
            server.bind(path)
            server.listen()
            Path(path).chmod(0o660)
            os.chown(path, 1, group.gr_gid)
            done = subprocess.run(
                [*words, sys.executable, "-m", "lamina", "build-all"],
                cwd=tiny.root,
                env=tiny.environment({"DOCKER_HOST": f"unix://{path}"}),
                capture_output=True,
                text=True,
                check=False,
            )
        assert done.returncode == 4, done.stderr
        assert f"your user may not use the engine at unix://{path}" in done.stderr
        assert f"sudo usermod -aG {group.gr_name} " in done.stderr

    def test_no_engine_and_no_way_to_start_one(self, tiny: Repo, tmp_path: Path) -> None:
        bare = {"PATH": str(tmp_path), "LAMINA_ENGINE": "cannot-start"}
        done = tiny.fails(4, "build-all", "--json", env=bare)
        assert "there is no apt-get or dpkg" in done.told
        assert "https://docs.docker.com/engine/install/" in done.told

    def test_plan_starts_no_engine(self, tiny: Repo) -> None:
        plan = tiny.ok("plan", "--json", env={"LAMINA_ENGINE": "nobody-started-this"})
        reasons = plan.images("reasons")["lambda-tiny"]
        assert reasons == ["unknown whether it exists: no engine answers"]
        assert "not looked: the private engine 'nobody-started-this' is down" in plan.told

    @pytest.mark.parametrize(
        ("answer", "told"),
        [
            ("echo \"docker: 'buildx' is not a docker command.\" >&2; exit 1", "buildx does not run"),
            ("echo github.com/docker/buildx v0.10.4 c513d34", "buildx is too old"),
        ],
        ids=["missing", "old"],
    )
    def test_buildx(self, tiny: Repo, engine: TestEngine, tmp_path: Path, answer: str, told: str) -> None:
        fake = tmp_path / "bin/docker"
        fake.parent.mkdir()
        fake.write_text(f"#!/bin/sh\n{answer}\n")
        fake.chmod(0o755)
        del tiny.env["LAMINA_ENGINE"]
        path = f"{fake.parent}:{tiny.environment()['PATH']}"
        done = tiny.fails(4, "build-all", "--json", env={"DOCKER_HOST": engine.host, "PATH": path})
        assert told in done.told
        assert "docker-buildx-plugin" in done.told
        assert tiny.recorded == {}

    def test_an_engine_that_is_too_old(self, tiny: Repo) -> None:
        del tiny.env["LAMINA_ENGINE"]
        with old_engine() as host:
            done = tiny.fails(4, "build-all", "--json", env={"DOCKER_HOST": host})
        assert f"the Docker engine at {host} is 20.10.24" in done.told
        assert "24.0 or newer" in done.told

    def test_buildkit_switched_off(self, tiny: Repo) -> None:
        done = tiny.fails(4, "build-all", "--json", env={"DOCKER_BUILDKIT": "0"})
        assert "DOCKER_BUILDKIT switches BuildKit off" in done.told
        assert tiny.recorded == {}


@contextmanager
def old_engine() -> Iterator[str]:
    """An engine of Debian 12, as far as its facts go."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            facts = {"ApiVersion": "1.41", "MinAPIVersion": "1.12", "ServerVersion": "20.10.24+dfsg1"}
            body = json.dumps({**facts, "Version": facts["ServerVersion"]}).encode()
            self.send_response(200)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
    try:
        yield f"tcp://127.0.0.1:{server.server_address[1]}"
    finally:
        server.shutdown()
        server.server_close()


@contextmanager
def small_disk(repo: Repo, size: str) -> Iterator[Path]:
    """A state folder on a disk of this size."""
    state = repo.root / ".lamina"
    state.mkdir(exist_ok=True)
    subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", str(state)], check=True)
    try:
        yield state
    finally:
        subprocess.run(["umount", str(state)], check=True)


class TestDisk:
    def test_full_while_staging(self, tiny: Repo) -> None:
        tiny.append("src/handler.py", "# large\n" * 40_000)
        with small_disk(tiny, "64k") as state:
            done = tiny.fails(1, "build-all", "--json")
            assert "the disk is full" in done.told
            assert str(state / "context/lambda-tiny") in done.told
            assert left_behind(tiny) == []
            assert tiny.recorded == {}
        assert set(tiny.ok("build-all", "--json").built) == ALL

    @pytest.mark.parametrize("pages", [2, 12, 20])
    def test_full_at_any_other_moment(self, tiny: Repo, pages: int) -> None:
        with small_disk(tiny, f"{pages * 4}k"):
            done = tiny.run("build-all", "--json")
            assert "Traceback" not in done.text
            assert left_behind(tiny) == []
            if done.code:
                assert done.code == 1
                assert "No space left on device" in done.told or "disk is full" in done.told
        again = tiny.ok("build-all", "--json")
        assert set(again.images().values()) <= {"built", "skipped"}


class TestBuilds:
    def broken(self, repo: Repo) -> None:
        """base-bad fails; lambda-one and lambda-two are based on it, lambda-free is not."""
        repo.write(
            "dockerfiles/base-bad/Dockerfile",
            RUNTIME + "ENV A=1\nRUN echo before; \\\n    echo the reason why >&2; \\\n    exit 3\n",
        )
        repo.write("dockerfiles/base-two/Dockerfile", "FROM base-bad\nENV B=2\n")
        repo.write("dockerfiles/lambda-one/Dockerfile", 'FROM base-bad\nCMD ["a.b"]\n')
        repo.write("dockerfiles/lambda-two/Dockerfile", 'FROM base-two\nCMD ["a.b"]\n')
        repo.write("dockerfiles/lambda-free/Dockerfile", 'FROM scratch\nCOPY free /\nCMD ["a.b"]\n')
        repo.write("free", "as a bird\n")

    def test_a_failed_base_cancels_only_its_children(self, repo: Repo) -> None:
        self.broken(repo)
        done = repo.fails(1, "build-all", "--keep-going", "--json")
        assert done.json["ok"] is False
        assert done.images() == {
            "base-bad": "failed",
            "base-two": "cancelled",
            "lambda-free": "built",
            "lambda-one": "cancelled",
            "lambda-two": "cancelled",
        }
        for name in ("base-two", "lambda-one", "lambda-two"):
            assert done.images("reasons")[name] == ["skipped: base-bad failed"]
        assert "dockerfiles/base-bad/Dockerfile:3: base-bad failed at" in done.told
        assert "the reason why" in done.told
        assert "exit code: 3" in done.told
        assert set(repo.recorded) == {"lambda-free"}

    def test_a_failure_stops_the_run(self, repo: Repo) -> None:
        self.broken(repo)
        done = repo.fails(1, "build-all", "--json")
        assert done.images()["base-bad"] == "failed"
        assert done.images()["lambda-free"] in {"built", "cancelled"}
        assert done.images("reasons")["lambda-two"] == ["skipped: base-bad failed"]
        assert set(repo.recorded) <= {"lambda-free"}
        repo.replace("dockerfiles/base-bad/Dockerfile", "exit 3", "true")
        again = repo.ok("build-all", "--json")
        assert {"base-bad", "base-two", "lambda-one", "lambda-two"} <= set(again.built)

    def test_two_failures_are_both_reported(self, repo: Repo) -> None:
        for name in ("lambda-a", "lambda-b"):
            repo.write(f"dockerfiles/{name}/Dockerfile", f"{RUNTIME}RUN echo {name} is wrong; exit 4\n")
        done = repo.fails(1, "build-all", "--keep-going", "--json")
        assert set(done.images().values()) == {"failed"}
        for name in ("lambda-a", "lambda-b"):
            assert f"dockerfiles/{name}/Dockerfile:2: {name} failed at" in done.told
            assert f"{name} is wrong" in done.told

    def test_images_built_before_a_failure_are_recorded(self, repo: Repo) -> None:
        repo.write("dockerfiles/base-good/Dockerfile", "FROM scratch\nCOPY good /\n")
        repo.write("good", "good\n")
        repo.write(
            "dockerfiles/lambda-bad/Dockerfile",
            f"{RUNTIME}COPY --from=base-good /good /\nRUN sleep 3; exit 5\n",
        )
        done = repo.fails(1, "build-all", "--json")
        assert done.images() == {"base-good": "built", "lambda-bad": "failed"}
        assert set(repo.recorded) == {"base-good"}
        repo.replace("dockerfiles/lambda-bad/Dockerfile", "exit 5", "true")
        again = repo.ok("build-all", "--json")
        assert again.images() == {"base-good": "skipped", "lambda-bad": "built"}


class TestAtOnce:
    def both(self, one: Repo, two: Repo) -> tuple[Done, Done]:
        with ThreadPoolExecutor() as pool:
            runs = [pool.submit(each.run, "build-all", "--json") for each in (one, two)]
        first, second = (run.result() for run in runs)
        assert (first.code, second.code) == (0, 0), f"{first.text}\n{second.text}"
        return first, second

    @sampled("rounds", sample=1, complete=3)
    def test_the_same_key(self, tiny: Repo, rounds: int) -> None:
        for number in range(rounds):
            tiny.append("src/dynamo.py", f"# {number}\n")
            first, second = self.both(tiny, tiny)
            assert first.images("tag") == second.images("tag")
            assert set(first.images().values()) | set(second.images().values()) <= {"built", "skipped"}
            assert set(tiny.recorded) == ALL
            assert left_behind(tiny) == []

    def test_the_same_key_in_two_clones(self, tiny: Repo, tmp_path: Path) -> None:
        other = tiny.clone(tmp_path / "clone/repo")
        first, second = self.both(tiny, other)
        assert first.images("tag") == second.images("tag")
        again = tiny.ok("build-all", "--json")
        assert again.built == []

    def test_different_keys(self, tiny: Repo, tmp_path: Path, engine: TestEngine) -> None:
        other = tiny.clone(tmp_path / "clone/repo")
        other.append("src/dynamo.py", "# another\n")
        first, second = self.both(tiny, other)
        assert not set(first.images("tag").values()) & set(second.images("tag").values())
        for done in (first, second):
            assert set(done.built) == ALL
            for ref in done.images("ref").values():
                assert engine.inspect(ref.partition("@")[0]) is not None


class TestInterrupted:
    @pytest.fixture
    def slow(self, repo: Repo) -> Repo:
        repo.write("dockerfiles/base-quick/Dockerfile", "FROM scratch\nCOPY quick /\n")
        repo.write("quick", "quick\n")
        repo.write(
            "dockerfiles/lambda-slow/Dockerfile",
            f"{RUNTIME}COPY --from=base-quick /quick /\nRUN echo begun; sleep 300\n",
        )
        return repo

    def begun(self, repo: Repo) -> None:
        """Wait until the long step runs."""
        events = repo.root / ".lamina/runs"

        def runs() -> bool:
            return any("YmVndW4K" in file.read_text() for file in events.glob("*/events-*.jsonl"))

        wait_for("the step that sleeps", runs)
        assert len(bakes(repo)) == 1

    def recovers(self, repo: Repo) -> None:
        """No process or lock is left, and the next run builds the missing images."""
        wait_for("the end of the build", lambda: not bakes(repo), seconds=20)
        assert left_behind(repo) == []
        assert "lambda-slow" not in repo.recorded
        repo.replace("dockerfiles/lambda-slow/Dockerfile", "sleep 300", "true")
        done = repo.ok("build-all", "--json")
        assert done.images()["lambda-slow"] == "built"
        assert set(repo.recorded) == {"base-quick", "lambda-slow"}

    @pytest.mark.parametrize(
        ("number", "code"),
        [
            pytest.param(signal.SIGINT, 130, id="ctrl-c"),
            pytest.param(signal.SIGTERM, 143, id="term", marks=pytest.mark.nightly),
            pytest.param(signal.SIGHUP, 129, id="hang-up", marks=pytest.mark.nightly),
        ],
    )
    def test_asked_to_stop(self, slow: Repo, number: signal.Signals, code: int) -> None:
        with slow.running("build-all", "--json") as child:
            self.begun(slow)
            child.send_signal(number)
            out, err = child.communicate(timeout=30)
            assert child.returncode == code, out + err
        report = json.loads(out)
        assert report["ok"] is False
        assert "stopped" in report["messages"][-1]["text"]
        assert "Traceback" not in err
        self.recovers(slow)

    def test_killed(self, slow: Repo) -> None:
        with slow.running("build-all", "--json") as child:
            self.begun(slow)
            child.kill()
            child.wait()
        self.recovers(slow)

    def test_killed_while_staging(self, tiny: Repo) -> None:
        """At any moment: the next run neither fails at leftover files nor trusts them."""
        for file in range(300):
            tiny.write(f"src/many/{file}.txt", f"{file}\n" * 2000)
        tiny.append(HANDLER, "COPY --link src/many/ /many/\n")
        tiny.ok("plan")
        staged = tiny.root / ".lamina/context/lambda-tiny"
        with tiny.running("build-all", "--json") as child:
            wait_for("the staging", staged.exists)
            child.kill()
            child.wait()
        wait_for("the end of the build", lambda: not bakes(tiny), seconds=20)
        done = tiny.ok("build-all", "--json")
        assert set(done.images().values()) <= {"built", "skipped"}
