"""A real Podman on a socket, of Debian's packages without installing them, and BuildKit in its containers.

BuildKit's own image cannot be pulled without a registry. dockerd contains the same BuildKit: the image made
here starts that one, and its ``buildctl`` connects to it, which is all that buildx asks of the image.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from projects import wait_for

from lamina.files import cache_home, locked
from lamina.process import SubprocessRunner
from lamina.sandbox import runtime
from lamina.sandbox.daemon import stop, strays, unmount
from lamina.sandbox.packages import Prefix, machine_architecture, machine_source, prefix, private_apt
from lamina.sandbox.running import answers
from lamina.sandbox.sources import render_sources

PACKAGES = ("podman", "conmon", "golang-github-containers-common")
LIBRARIES = ("libgpgme11", "libgpgme11t64", "libsubid4", "libsubid5", "golang-github-containers-image")
"""Their names differ between releases."""
IMAGE = "localhost/buildkit:test"
_PYTHON = "3.13"
_RUNC = """\
#!{python} -IS
# runc without limits for processes: Podman sets those of root, which root may not do everywhere.
import json, os, sys
words = sys.argv[1:]
for command, option, name in (("create", "--bundle", "/config.json"), ("exec", "--process", "")):
    if command in words and option in words:
        path = words[words.index(option) + 1] + name
        with open(path) as file:
            document = json.load(file)
        document.get("process", document).pop("rlimits", None)
        with open(path, "w") as file:
            json.dump(document, file)
os.execv("{runc}", ["{runc}", *words])
"""
_NETAVARK = """\
#!/bin/sh
# Containers get loopback and nothing else: a bridge would change the machine's firewall.
for space in "$@"; do :; done
case " $* " in *" setup "*) LD_LIBRARY_PATH={libraries} nsenter "--net=$space" {ip} link set lo up >&2 ;; esac
echo '{{"podman": {{"interfaces": {{}}}}}}'
"""
_BUILDKITD = """\
#!/bin/sh
export PATH="/docker/sbin:/docker/bin:$PATH"
exec dockerd --feature=containerd-snapshotter=true --bridge=none --iptables=false --ip6tables=false \\
  --userland-proxy=false --data-root=/var/lib/buildkit/docker --host=unix:///run/docker.sock
"""
_BUILDCTL = """\
#!/usr/bin/python3 -u
import os, socket, sys, threading
engine = socket.socket(socket.AF_UNIX)
engine.connect("/run/docker.sock")
if "dial-stdio" not in sys.argv:
    engine.sendall(b"GET /images/none/json HTTP/1.0\\r\\nHost: docker\\r\\n\\r\\n")
    sys.exit(b" 404 " not in engine.recv(64))
upgrade = b"Connection: Upgrade\\r\\nUpgrade: h2c\\r\\n\\r\\n"
engine.sendall(b"POST /grpc HTTP/1.1\\r\\nHost: docker\\r\\n" + upgrade)
head = b""
while not head.endswith(b"\\r\\n\\r\\n"):
    head += engine.recv(1)
def send():
    while data := os.read(0, 65536):
        engine.sendall(data)
    engine.shutdown(socket.SHUT_WR)
threading.Thread(target=send, daemon=True).start()
while data := engine.recv(65536):
    while data:
        data = data[os.write(1, data):]
"""
_DOCKERFILE = """\
FROM {base}
COPY docker /docker
COPY buildkitd buildctl /usr/local/bin/
WORKDIR /
ENTRYPOINT ["buildkitd"]
"""


@dataclass(frozen=True)
class Podman:
    """A running Podman; an `EngineAddress`. runtime: an image with Python in its store."""

    host: str
    tools: Prefix
    home: Path
    runtime: str

    @property
    def docker(self) -> Path:
        """Docker's command, which Podman's API answers."""
        return self.tools.docker

    @property
    def environment(self) -> Mapping[str, str]:
        """For commands of docker: its buildx, and no configuration of the user's."""
        return {
            "DOCKER_HOST": self.host,
            "DOCKER_CONFIG": str(self.home / "docker"),
            "PATH": f"{self.tools.docker.parent}:{os.environ['PATH']}",
        }

    def call(self, *words: str) -> str:
        """``docker <words>``: its standard output."""
        env = {**os.environ, **self.environment}
        done = subprocess.run(
            [str(self.docker), *words], env=env, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, f"docker {words}: {done.stderr}"
        return done.stdout

    def create_builder(self, name: str, image: str = IMAGE) -> None:
        """Make a builder in a container on the machine's network: a registry on loopback is there."""
        options = f"--driver-opt=image={image},network=host"
        self.call("buildx", "create", "--name", name, "--driver=docker-container", options)


@contextmanager
def running(insecure: str) -> Iterator[Podman]:
    """Start Podman with an image of BuildKit. insecure: a registry's address without TLS."""
    runner = SubprocessRunner()
    tools, own = prefix(runner, print), unpacked()
    with tempfile.TemporaryDirectory(prefix="podman-") as folder:
        home = Path(folder)
        env = {**os.environ, **_settings(home, own, tools, insecure)}
        podman = [str(own / "usr/bin/podman")]
        socket = home / "podman.sock"
        with (home / "log").open("wb") as log:
            words = [*podman, "system", "service", "--time=0", f"unix://{socket}"]
            service = subprocess.Popen(words, env=env, stdout=log, stderr=log)
        try:
            wait_for("Podman", lambda: service.poll() is not None or answers(socket))
            assert service.poll() is None, (home / "log").read_text()
            (home / "docker").mkdir()
            plugins = {"cliPluginsExtraDirs": [str(tools.buildx.parent)]}
            (home / "docker/config.json").write_text(json.dumps(plugins))
            made = Podman(host=f"unix://{socket}", tools=tools, home=home, runtime="")
            stand_in = runtime.ensure(runner, made, _PYTHON, machine_architecture(), print)
            _write_image(home / "image", tools, stand_in.ref)
            build = [*podman, "build", "--quiet", f"--tag={IMAGE}", str(home / "image")]
            subprocess.run(build, env=env, stdout=subprocess.DEVNULL, check=True)
            yield Podman(host=made.host, tools=tools, home=home, runtime=stand_in.ref)
        finally:
            subprocess.run(
                [*podman, "rm", "--all", "--force", "--time=0"], env=env, capture_output=True, check=False
            )
            service.terminate()
            service.wait(30)
            for monitor in strays("conmon", f"{home}/"):  # stays for five minutes after an exec
                stop(monitor, f"{home}/", grace=1)
            unmount(runner, home)


def unpacked() -> Path:
    """Podman's packages of this machine's release, unpacked into the cache on first use (50 MB)."""
    source, architecture = machine_source(), machine_architecture()
    final = cache_home() / "packages" / f"podman-{source.suite}-{architecture}-1"
    with locked(final.with_name(f".{final.name}.lock")):
        if not final.exists():
            with tempfile.TemporaryDirectory(prefix=f".{final.name}.", dir=final.parent) as scratch:
                state, tree = Path(scratch) / "apt", Path(scratch) / "tree"
                for folder in ("lists/partial", "cache/archives/partial", "log", "archives"):
                    (state / folder).mkdir(parents=True)
                (state / "status").touch()
                (state / "lamina.sources").write_text(render_sources(source, [source.suite], architecture))
                options = private_apt(state)

                def apt(*words: str) -> str:
                    program, *rest = words
                    argv = [program, *options, *rest]
                    where = state / "archives"
                    return subprocess.run(argv, cwd=where, capture_output=True, text=True, check=True).stdout

                apt("apt-get", "update", "--error-on=any")
                known = set(apt("apt-cache", "pkgnames").split())
                apt("apt-get", "download", *PACKAGES, *(each for each in LIBRARIES if each in known))
                for archive in (state / "archives").iterdir():
                    subprocess.run(["dpkg", "-x", str(archive), str(tree)], check=True)
                tree.rename(final)
    return final


def _settings(home: Path, own: Path, tools: Prefix, insecure: str) -> dict[str, str]:
    """Write Podman's configuration; the variables with which it is read."""
    wrapped = home / "runc"
    wrapped.write_text(_RUNC.format(python=sys.executable, runc=tools.path / "usr/sbin/runc"))
    network = home / "helpers/netavark"
    network.parent.mkdir()
    libraries = tools.tool_environment["LD_LIBRARY_PATH"]
    network.write_text(_NETAVARK.format(libraries=libraries, ip=tools.path / "sbin/ip"))
    for program in (wrapped, network):
        program.chmod(0o755)
    init = json.dumps(str(tools.path / "usr/bin/tini-static"))
    texts = {
        "containers.conf": f"""\
[containers]
init_path = {init}
seccomp_profile = "{own}/usr/share/containers/seccomp.json"
[network]
network_backend = "netavark"
network_config_dir = "{home}/networks"
[engine]
cgroup_manager = "cgroupfs"
conmon_path = ["{own}/usr/bin/conmon"]
events_logger = "file"
helper_binaries_dir = ["{home}/helpers"]
init_path = {init}
runtime = "runc"
static_dir = "{home}/data/libpod"
tmp_dir = "{home}/tmp"
volume_path = "{home}/data/volumes"
[engine.runtimes]
runc = ["{wrapped}"]
""",
        "storage.conf": f"""\
[storage]
driver = "overlay"
graphroot = "{home}/data/storage"
runroot = "{home}/run"
""",
        "registries.conf": f"""\
unqualified-search-registries = ["docker.io"]
[[registry]]
location = "{insecure}"
insecure = true
""",
    }
    for name, text in texts.items():
        (home / name).write_text(text)
    policy = home / ".config/containers/policy.json"
    policy.parent.mkdir(parents=True)
    policy.write_text('{"default": [{"type": "insecureAcceptAnything"}]}')
    (library,) = {each.parent for each in own.glob("usr/lib/*/libgpgme.so.*")}
    return {
        "HOME": str(home),
        "XDG_RUNTIME_DIR": str(home),
        "CONTAINERS_CONF": str(home / "containers.conf"),
        "CONTAINERS_STORAGE_CONF": str(home / "storage.conf"),
        "CONTAINERS_REGISTRIES_CONF": str(home / "registries.conf"),
        "LD_LIBRARY_PATH": str(library),
        "PATH": f"{own}/usr/bin:{os.environ['PATH']}",
    }


def _write_image(folder: Path, tools: Prefix, base: str) -> None:
    for path in (
        "sbin/dockerd",
        "sbin/runc",
        "bin/containerd",
        "bin/containerd-shim-runc-v2",
        "bin/docker-init",
    ):
        target = folder / "docker" / path
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(tools.path / "usr" / path, target)
    for name, text in (("buildkitd", _BUILDKITD), ("buildctl", _BUILDCTL)):
        (folder / name).write_text(text)
        (folder / name).chmod(0o755)
    (folder / "Dockerfile").write_text(_DOCKERFILE.format(base=base))
