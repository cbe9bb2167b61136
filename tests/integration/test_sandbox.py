"""The real private engine, registry and stand-in runtime, under names of their own."""

from __future__ import annotations

import io
import ipaddress
import json
import os
import signal
import socket
import tarfile
import threading
import zipfile
from base64 import b64encode
from collections.abc import Callable, Iterator
from http.client import HTTPConnection
from pathlib import Path
from urllib.parse import urlsplit

import bcrypt
import pytest

from lamina.errors import EngineError, RegistryError
from lamina.files import cache_home
from lamina.process import Command, Completed, Runner, SubprocessRunner
from lamina.sandbox import engine, registry, running, runtime
from lamina.sandbox.daemon import ServerFiles
from lamina.sandbox.packages import machine_architecture, machine_source
from lamina.sandbox.running import PrivateEngine
from lamina.sandbox.runtime import StandIn

pytestmark = [
    pytest.mark.engine,
    pytest.mark.skipif(engine.unsupported() is not None, reason=str(engine.unsupported())),
]

NAME = f"test-{os.getpid()}"
PYTHON = "3.13"
MANIFEST = "application/vnd.oci.image.manifest.v1+json"


class NoProcess:
    """A runner for calls that must not start anything."""

    def run(self, command: Command, *, timeout: float | None = None) -> Completed:
        raise AssertionError(f"started {command}")

    def stream(
        self, command: Command, on_line: Callable[[str], None], *, tick: Callable[[], None] | None = None
    ) -> Completed:
        raise AssertionError(f"started {command}")

    def spawn(self, command: Command, *, log: Path) -> int:
        raise AssertionError(f"started {command}")


def quiet(_: str) -> None:
    """Say nothing."""


def docker(runner: Runner, one: PrivateEngine, *words: str, home: Path | None = None) -> Completed:
    env = {**one.environment, **({"DOCKER_CONFIG": str(home)} if home else {})}
    return runner.run(Command(argv=(str(one.docker), *words), env=env), timeout=120)


def python(runner: Runner, one: PrivateEngine, stand_in: StandIn, program: str, *options: str) -> Completed:
    words = ("run", "--rm", *options, "--entrypoint", "python", stand_in.ref, "-c", program)
    return docker(runner, one, *words)


def build(runner: Runner, one: PrivateEngine, dockerfile: str, folder: Path, *options: str) -> Completed:
    """A build by buildx alone, without docker and without any configuration of docker's."""
    argv = (
        str(one.buildx),
        "build",
        "--progress=plain",
        "--provenance=false",
        *options,
        "--file=-",
        str(folder),
    )
    env = {**one.environment, "HOME": str(folder / "home"), "DOCKER_CONFIG": str(folder / "home/.docker")}
    return runner.run(Command(argv=argv, env=env, stdin=dockerfile.encode()), timeout=120)


def pool_of(runner: Runner, link: str) -> ipaddress.IPv4Network:
    """The pool that a link's address is in."""
    (found,) = json.loads(runner.run(Command(argv=("ip", "-json", "-4", "address", "show", link))).stdout)
    return ipaddress.ip_interface(f"{found['addr_info'][0]['local']}/20").network


@pytest.fixture(scope="module")
def runner() -> SubprocessRunner:
    return SubprocessRunner()


@pytest.fixture(scope="module")
def first(runner: SubprocessRunner) -> Iterator[PrivateEngine]:
    yield engine.up(runner, name=f"{NAME}-first", say=quiet)
    engine.down(runner, f"{NAME}-first", purge=True)


@pytest.fixture(scope="module")
def isolated(runner: SubprocessRunner) -> Iterator[PrivateEngine]:
    """A second engine, in a network namespace that has no way out."""
    runner.run(Command(argv=("ip", "netns", "add", NAME)))
    runner.run(Command(argv=("ip", "-n", NAME, "link", "set", "lo", "up")))
    yield engine.up(runner, name=f"{NAME}-isolated", netns=NAME, say=quiet)
    engine.down(runner, f"{NAME}-isolated", purge=True)
    runner.run(Command(argv=("ip", "netns", "delete", NAME)))


@pytest.fixture(scope="module")
def stand_in(runner: SubprocessRunner, first: PrivateEngine) -> StandIn:
    return runtime.ensure(runner, first, PYTHON, machine_architecture(), quiet)


@pytest.fixture
def spare(runner: SubprocessRunner) -> Iterator[str]:
    """The name of an engine that a test may break."""
    name = f"{NAME}-spare"
    yield name
    engine.down(runner, name, purge=True)


class TestEngine:
    def test_a_second_call_finds_it_without_starting_anything(self, first: PrivateEngine) -> None:
        assert engine.up(NoProcess(), name=first.name, say=quiet) == first

    def test_it_has_the_containerd_image_store(self, runner: SubprocessRunner, first: PrivateEngine) -> None:
        facts = json.loads(docker(runner, first, "info", "--format", "{{json .}}").stdout)
        assert ["driver-type", "io.containerd.snapshotter.v1"] in facts["DriverStatus"]
        assert facts["DockerRootDir"].startswith(str(cache_home()))

    def test_containers_reach_the_outside_by_name(
        self, runner: SubprocessRunner, first: PrivateEngine, stand_in: StandIn
    ) -> None:
        mirror = urlsplit(machine_source().uri)
        port = mirror.port or {"http": 80, "https": 443}[mirror.scheme]
        program = (
            f"import socket; socket.create_connection(({mirror.hostname!r}, {port}), 20); print('there')"
        )
        assert python(runner, first, stand_in, program).stdout == "there\n"

    def test_containers_of_a_network_find_one_another(
        self, runner: SubprocessRunner, first: PrivateEngine, stand_in: StandIn
    ) -> None:
        assert docker(runner, first, "network", "create", "lab").ok
        serve = ("--entrypoint", "python", stand_in.ref, "-m", "http.server", "8000")
        assert docker(runner, first, "run", "--detach", "--name=web", "--network=lab", *serve).ok
        program = (
            "import time, urllib.request as u\n"
            "for _ in range(100):\n"
            "    try: print(u.urlopen('http://web:8000').status); break\n"
            "    except OSError: time.sleep(0.1)\n"
        )
        assert python(runner, first, stand_in, program, "--network=lab").stdout == "200\n"
        docker(runner, first, "rm", "--force", "web")
        docker(runner, first, "network", "rm", "lab")

    def test_two_engines_share_no_images(
        self, runner: SubprocessRunner, first: PrivateEngine, spare: str, tmp_path: Path
    ) -> None:
        (tmp_path / "file").touch()
        built = build(runner, first, "FROM scratch\nCOPY file /\n", tmp_path, "--tag=only-in-first:1")
        assert built.ok, built.stderr
        second = engine.up(runner, name=spare, say=quiet)
        assert second.pid != first.pid
        assert not docker(runner, second, "image", "inspect", "only-in-first:1").ok
        assert docker(runner, first, "image", "inspect", "only-in-first:1").ok
        engine.down(runner, spare)
        assert running.status(runner, first.name) == first

    def test_racing_starts_make_one_engine(self, spare: str) -> None:
        found: list[PrivateEngine] = []
        racers = [
            threading.Thread(
                target=lambda: found.append(engine.up(SubprocessRunner(), name=spare, say=quiet))
            )
            for _ in range(3)
        ]
        for racer in racers:
            racer.start()
        for racer in racers:
            racer.join()
        assert len(found) == 3
        assert len(set(found)) == 1

    def test_images_outlive_a_restart(self, runner: SubprocessRunner, spare: str, tmp_path: Path) -> None:
        (tmp_path / "file").touch()
        one = engine.up(runner, name=spare, say=quiet)
        assert build(runner, one, "FROM scratch\nCOPY file /\n", tmp_path, "--tag=kept:1").ok
        engine.down(runner, spare)
        assert running.status(runner, spare) is None
        two = engine.up(runner, name=spare, say=quiet)
        assert docker(runner, two, "image", "inspect", "kept:1").ok
        engine.down(runner, spare, purge=True)
        assert not (cache_home() / "engines" / spare).exists()

    def test_addresses_taken_meanwhile_are_not_reused(self, runner: SubprocessRunner, spare: str) -> None:
        """A daemon remembers its bridge's address and would take it again."""
        bridge, other = f"lm-{ServerFiles.of('engine', spare).identity}", "lmtest0"
        engine.up(runner, name=spare, say=quiet)
        before = pool_of(runner, bridge)
        engine.down(runner, spare)
        runner.run(Command(argv=("ip", "link", "add", other, "type", "bridge")))
        try:
            runner.run(Command(argv=("ip", "address", "add", f"{before[1]}/20", "dev", other)))
            runner.run(Command(argv=("ip", "link", "set", other, "up")))
            engine.up(runner, name=spare, say=quiet)
            assert pool_of(runner, bridge) != before
            engine.down(runner, spare)
            assert pool_of(runner, other) == before
        finally:
            runner.run(Command(argv=("ip", "link", "delete", other)))

    def test_a_killed_engine_restarts_without_its_containers(
        self, runner: SubprocessRunner, spare: str
    ) -> None:
        killed = engine.up(runner, name=spare, say=quiet)
        sleeper = runtime.ensure(runner, killed, PYTHON, machine_architecture(), quiet)
        sleep = ("--entrypoint", "sleep", sleeper.ref, "1234567")
        assert docker(runner, killed, "run", "--detach", "--name=sleeper", *sleep).ok
        pid = int(docker(runner, killed, "inspect", "--format", "{{.State.Pid}}", "sleeper").stdout)
        os.kill(killed.pid, signal.SIGKILL)
        os.waitpid(killed.pid, 0)
        assert running.status(runner, spare) is None
        again = engine.up(runner, name=spare, say=quiet)
        assert again.pid != killed.pid
        assert docker(runner, again, "ps", "--quiet").stdout == ""
        assert not Path(f"/proc/{pid}").exists()

    def test_a_killed_engine_is_cleared_away_by_down(self, runner: SubprocessRunner, spare: str) -> None:
        killed = engine.up(runner, name=spare, say=quiet)
        os.kill(killed.pid, signal.SIGKILL)
        os.waitpid(killed.pid, 0)
        engine.down(runner, spare, purge=True)
        place = ServerFiles.of("engine", spare)
        assert not place.runtime.exists()
        assert str(place.runtime) not in Path("/proc/self/mounts").read_text()
        assert f"lm-{place.identity}" not in [name for _, name in socket.if_nameindex()]

    def test_process_ids_left_by_a_reboot_are_ignored(self, runner: SubprocessRunner, spare: str) -> None:
        place = ServerFiles.of("engine", spare)
        containerd = place.runtime / "exec/containerd/containerd.pid"
        containerd.parent.mkdir(parents=True)
        for pidfile in (place.runtime / "docker.pid", containerd):
            pidfile.write_text(str(os.getpid()))
        state = {"pid": os.getpid(), "netns": None, "docker": "/gone", "buildx": "/gone"}
        place.state.write_text(json.dumps(state))
        assert running.status(runner, spare) is None
        started = engine.up(runner, name=spare, say=quiet)
        assert started.pid != os.getpid()

    def test_a_daemon_that_cannot_start_is_reported_with_its_log(
        self, runner: SubprocessRunner, spare: str
    ) -> None:
        place = ServerFiles.of("engine", spare)
        place.data.mkdir(parents=True)
        (place.data / "data").write_text("a file where the daemon wants a folder")
        with pytest.raises(EngineError, match="points to a file") as caught:
            engine.up(runner, name=spare, say=quiet)
        assert str(place.log) in str(caught.value)
        assert not place.runtime.exists()

    def test_an_engine_stays_in_its_network(self, runner: SubprocessRunner, isolated: PrivateEngine) -> None:
        assert isolated.netns == NAME
        inside = Path(f"/proc/{isolated.pid}/ns/net").stat().st_ino
        assert inside == Path(f"/var/run/netns/{NAME}").stat().st_ino
        with pytest.raises(EngineError, match="network namespace"):
            engine.up(runner, name=isolated.name, say=quiet)


class TestStandIn:
    def test_two_engines_have_the_same_digest(
        self, runner: SubprocessRunner, first: PrivateEngine, isolated: PrivateEngine, stand_in: StandIn
    ) -> None:
        assert runtime.ensure(runner, isolated, PYTHON, stand_in.architecture, quiet) == stand_in
        said = [
            json.loads(docker(runner, one, "image", "inspect", stand_in.ref).stdout)[0]
            for one in (first, isolated)
        ]
        assert said[0]["Id"] == said[1]["Id"] == said[0]["Descriptor"]["digest"]
        assert said[0]["Descriptor"]["mediaType"] == MANIFEST

    def test_it_is_recorded(self, stand_in: StandIn) -> None:
        assert runtime.recorded(PYTHON, stand_in.architecture) == stand_in

    def test_it_looks_like_the_lambda_image(
        self, runner: SubprocessRunner, first: PrivateEngine, stand_in: StandIn
    ) -> None:
        program = (
            "import awslambdaric, boto3, os, sys, shutil, json; env = os.environ; print(json.dumps("
            "[os.getcwd(), env['LANG'], env['LAMBDA_TASK_ROOT'], env['LAMBDA_RUNTIME_DIR'], "
            "'%d.%d' % sys.version_info[:2], bool(shutil.which('pip') and shutil.which('python3'))]))"
        )
        said = python(runner, first, stand_in, program)
        assert said.ok, said.stderr
        assert json.loads(said.stdout) == ["/var/task", "C.UTF-8", "/var/task", "/var/runtime", PYTHON, True]

    def test_the_entrypoint_needs_a_handler(
        self, runner: SubprocessRunner, first: PrivateEngine, stand_in: StandIn
    ) -> None:
        refused = docker(runner, first, "run", "--rm", stand_in.ref)
        assert (refused.code, "handler name" in refused.stderr) == (142, True)

    def test_pip_installs_into_it(
        self, runner: SubprocessRunner, first: PrivateEngine, stand_in: StandIn, tmp_path: Path
    ) -> None:
        with zipfile.ZipFile(tmp_path / "tiny-1.0-py3-none-any.whl", "w") as wheel:
            wheel.writestr("tiny.py", "ANSWER = 42\n")
            wheel.writestr("tiny-1.0.dist-info/METADATA", "Metadata-Version: 2.1\nName: tiny\nVersion: 1.0\n")
            wheel.writestr(
                "tiny-1.0.dist-info/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
            )
            wheel.writestr("tiny-1.0.dist-info/RECORD", "")
        dockerfile = (
            f"FROM {stand_in.ref}\nCOPY *.whl /tmp/\nRUN pip install --no-index /tmp/*.whl\n"
            "RUN python -c 'import tiny; assert tiny.ANSWER == 42'\n"
        )
        built = build(runner, first, dockerfile, tmp_path, "--tag=with-tiny:1")
        assert built.ok, built.stderr
        labels = docker(
            runner, first, "image", "inspect", "--format", "{{json .Config.Labels}}", "with-tiny:1"
        )
        assert json.loads(labels.stdout) == {runtime.LABEL: stand_in.identity}

    def test_the_stand_in_contains_nothing_of_this_machine(self, stand_in: StandIn) -> None:
        recipes = (cache_home() / "stand-ins").glob(f"python{PYTHON}-{stand_in.architecture}-*")
        folder = max(recipes, key=lambda each: int(each.name.rpartition("-")[2]))
        host = str(urlsplit(machine_source().uri).hostname).encode()
        certificates = Path("/usr/local/share/ca-certificates").rglob("*.crt")
        own_certificates = [path.read_bytes().strip().splitlines()[1] for path in certificates]
        with tarfile.open(folder / "image.tar") as archive:
            largest = max(archive, key=lambda member: member.size)
            layer = archive.extractfile(largest)
            assert layer is not None
            content = io.BytesIO(layer.read())
        telling: list[str] = []
        with tarfile.open(fileobj=content) as tar:
            names = set(tar.getnames())
            for member in tar:
                # Debian's own files below usr may name Debian's own mirrors.
                local = member.isreg() and member.name.startswith(("etc/", "var/", "root/", "usr/local/"))
                file = tar.extractfile(member) if local else None
                text = file.read() if file else b""
                if any(secret in text for secret in (host, *own_certificates)):
                    telling.append(member.name)
        assert telling == []
        assert not names & {"etc/resolv.conf", "etc/hostname", "etc/apt/sources.list", "etc/pip.conf"}
        assert not [name for name in names if name.startswith("usr/local/share/ca-certificates/")]
        assert not [name for name in names if name.startswith(("var/lib/apt/lists/", "var/cache/apt/"))]

    def test_builds_resolve_it_without_any_network(
        self, runner: SubprocessRunner, isolated: PrivateEngine, stand_in: StandIn, tmp_path: Path
    ) -> None:
        named = build(
            runner,
            isolated,
            "FROM runtime\nRUN echo ran\n",
            tmp_path,
            f"--build-context=runtime=docker-image://{stand_in.ref}",
            "--output=type=image,name=local-base:1,oci-mediatypes=true",
        )
        assert named.ok, named.stderr
        facts = json.loads(docker(runner, isolated, "image", "inspect", "local-base:1").stdout)[0]
        assert facts["Descriptor"]["mediaType"] == MANIFEST
        for ref in ("local-base:1", f"local-base@{facts['Id']}", f"local-base:1@{facts['Id']}"):
            again = build(
                runner, isolated, "FROM base\nRUN echo again\n", tmp_path,
                f"--build-context=base=docker-image://{ref}",
            )  # fmt: skip
            assert again.ok, again.stderr


def ask(address: str, method: str, path: str, *, user: str | None = None) -> tuple[int, dict[str, str]]:
    headers = {"Accept": MANIFEST}
    if user:
        headers["Authorization"] = f"Basic {b64encode(user.encode()).decode()}"
    line = HTTPConnection(address, timeout=10)
    try:
        line.request(method, path, headers=headers)
        answer = line.getresponse()
        answer.read()
        return answer.status, dict(answer.getheaders())
    finally:
        line.close()


@pytest.fixture
def shelf(runner: SubprocessRunner) -> Iterator[str]:
    """The name of a registry of the test's own."""
    name = f"{NAME}-shelf"
    yield name
    registry.down(runner, name, purge=True)


class TestRegistry:
    def test_a_second_call_finds_it_without_starting_anything(
        self, runner: SubprocessRunner, shelf: str
    ) -> None:
        served = registry.up(runner, name=shelf, port=0, say=quiet)
        assert registry.up(NoProcess(), name=shelf, port=0, say=quiet) == served
        assert ask(served.address, "GET", "/v2/")[0] == 200

    def test_it_listens_on_loopback_only(self, runner: SubprocessRunner, shelf: str) -> None:
        served = registry.up(runner, name=shelf, port=0, say=quiet)
        port = int(served.address.rpartition(":")[2])
        for table in ("tcp", "tcp6"):
            for line in Path(f"/proc/{served.pid}/net/{table}").read_text().splitlines()[1:]:
                local, state = line.split()[1], line.split()[3]
                if state == "0A" and int(local.rpartition(":")[2], 16) == port:
                    assert local.startswith("0100007F:")

    def test_passwords_push_restart_and_delete(
        self, runner: SubprocessRunner, shelf: str, first: PrivateEngine, stand_in: StandIn, tmp_path: Path
    ) -> None:
        htpasswd = tmp_path / "htpasswd"
        htpasswd.write_text(f"me:{bcrypt.hashpw(b'secret', bcrypt.gensalt(4)).decode()}\n")
        served = registry.up(runner, name=shelf, port=0, htpasswd=htpasswd, say=quiet)
        assert ask(served.address, "GET", "/v2/")[0] == 401
        home = tmp_path / "docker"
        home.mkdir()
        auth = {"auths": {served.address: {"auth": b64encode(b"me:secret").decode()}}}
        (home / "config.json").write_text(json.dumps(auth))
        image = f"{served.address}/team/stand-in:1"
        docker(runner, first, "tag", stand_in.ref, image)
        pushed = docker(runner, first, "push", "--quiet", image, home=home)
        assert pushed.ok, pushed.stderr
        docker(runner, first, "image", "rm", image)
        registry.down(runner, shelf)
        assert registry.status(runner, shelf) is None
        port = int(served.address.rpartition(":")[2])
        registry.up(runner, name=shelf, port=port, htpasswd=htpasswd, say=quiet)
        path = "/v2/team/stand-in/manifests/"
        status, headers = ask(served.address, "HEAD", f"{path}1", user="me:secret")
        assert (status, headers["Content-Type"]) == (200, MANIFEST)
        digest = headers["Docker-Content-Digest"]
        assert ask(served.address, "DELETE", f"{path}{digest}", user="me:secret")[0] == 202
        assert ask(served.address, "HEAD", f"{path}{digest}", user="me:secret")[0] == 404

    def test_a_port_in_use_is_refused(self, runner: SubprocessRunner, shelf: str) -> None:
        with socket.create_server(("127.0.0.1", 0)) as other:
            port = other.getsockname()[1]
            with pytest.raises(RegistryError, match=f"port {port} of 127.0.0.1 is in use"):
                registry.up(runner, name=shelf, port=port, say=quiet)
        assert registry.status(runner, shelf) is None

    def test_other_settings_need_another_name(
        self, runner: SubprocessRunner, shelf: str, tmp_path: Path
    ) -> None:
        registry.up(runner, name=shelf, port=0, say=quiet)
        (tmp_path / "htpasswd").touch()
        with pytest.raises(RegistryError, match=r"already runs at .* with other settings"):
            registry.up(runner, name=shelf, port=0, htpasswd=tmp_path / "htpasswd", say=quiet)

    def test_it_may_live_in_a_namespace(
        self, runner: SubprocessRunner, shelf: str, isolated: PrivateEngine
    ) -> None:
        served = registry.up(runner, name=shelf, port=5000, netns=isolated.netns, say=quiet)
        assert (served.address, served.netns) == ("127.0.0.1:5000", isolated.netns)
        stand_in = runtime.ensure(runner, isolated, PYTHON, machine_architecture(), quiet)
        docker(runner, isolated, "tag", stand_in.ref, "127.0.0.1:5000/stand-in:1")
        pushed = docker(runner, isolated, "push", "--quiet", "127.0.0.1:5000/stand-in:1")
        assert pushed.ok, pushed.stderr
