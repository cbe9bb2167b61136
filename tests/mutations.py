"""The mutation table: a tree with one of everything, and changes of one thing at a time.

Each row states whether the image must be rebuilt. The unit tests check the fingerprint against it. The
integration tests also compare it with BuildKit, and write the scoreboard in ``docs/identity.md``.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal
from unittest import mock

from lamina.declare.config import Project, load_project
from lamina.declare.graph import Graph, read_graph
from lamina.declare.lockfile import Lock, Pin, read_lock
from lamina.execute.externals import Externals, read_externals
from lamina.identify.derived import Derived
from lamina.identify.image import Image, identify
from lamina.identify.stat_cache import StatCache
from lamina.wiring import sandbox
from trees import Tree

Verdict = Literal["rebuilt", "kept", "kept, with a note"]
RUNTIME, OLD_RUNTIME, TOOL = "python:3.13", "python:3.12", "uv:1"

# What RUN makes is another file each time: a step that ran cannot look as if it had not.
MIXED = """\
ARG PYTHON=3.13
ARG UNUSED=1
FROM scratch AS spare
COPY spare /spare

FROM {registry}/python:${PYTHON} AS tests
RUN run-tests --hard

FROM {registry}/python:${PYTHON} AS deps
ARG LEVEL=1
ARG MODEL
RUN --mount=type=bind,source=bound/list.txt,target=/list.txt \\
    --mount=type=secret,id=token \\
    read line < /list.txt; read once < /proc/sys/kernel/random/uuid; \\
    echo "$line $LEVEL $MODEL $once" > /made.txt
RUN <<EOF
echo "from a heredoc" >> /made.txt
EOF

FROM {registry}/python:${PYTHON}
ARG NAME=world
COPY --from=deps /made.txt /var/task/
COPY --from={registry}/uv:1 /uv /bin/
COPY src /var/task/src/
COPY --link lone.py /var/task/
COPY link linkdir /var/task/
COPY wild/*.json /var/task/wild/
COPY --from=vendor lib /var/task/lib/
COPY <<EOF /etc/motd
welcome $NAME
EOF
ADD --checksum=sha256:{sum} {site}/asset /asset
CMD ["/bin/sh"]
"""
DOCKERFILES = {
    "mixed": MIXED,
    "bare": "FROM scratch\nCOPY src /src\n",
    "fixed": "FROM --platform=$BUILDPLATFORM scratch AS a\nCOPY src /\nFROM scratch\nCOPY --from=a / /\n",
    "whole": "FROM scratch\nCOPY . /app/\n",
    "loose": "FROM scratch\nADD {site}/asset /asset\n",
    "locked": """\
FROM {registry}/python:3.13 AS deps
RUN --mount=type=bind,source=work/uv.lock,target=uv.lock \\
    --mount=type=bind,source=work/pyproject.toml,target=pyproject.toml \\
    --mount=type=bind,source=work/one/pyproject.toml,target=one/pyproject.toml \\
    uv export --frozen --no-dev --no-emit-workspace --package one -o /list.txt

FROM {registry}/python:3.13
COPY --from=deps /list.txt /list.txt
""",
}
LOCK = """\
version = 1
revision = 5
requires-python = ">=3.11"

[manifest]
members = [
    "one",
    "two",
]

[[package]]
name = "deep"
version = "1.0"
source = { registry = "https://index.example/simple" }
wheels = [
    { url = "https://files.example/deep-1.0-py3-none-any.whl", hash = "sha256:11", size = 1 },
]

[[package]]
name = "linter"
version = "1.0"
source = { registry = "https://index.example/simple" }

[[package]]
name = "one"
version = "0.1.0"
source = { virtual = "one" }
dependencies = [
    { name = "wide" },
]

[package.dev-dependencies]
dev = [
    { name = "linter" },
]

[[package]]
name = "other"
version = "1.0"
source = { registry = "https://index.example/simple" }

[[package]]
name = "two"
version = "0.1.0"
source = { virtual = "two" }
dependencies = [
    { name = "other" },
]

[[package]]
name = "wide"
version = "1.0"
source = { registry = "https://index.example/simple" }
dependencies = [
    { name = "deep" },
]
"""
CONFIG = """\
[tool.lamina.images.mixed]
args = { MODEL = "small" }
contexts = { vendor = "third/party" }

[tool.lamina.images.fixed]
platform = "linux/arm64"

[tool.lamina.secrets]
token = { file = "secret.txt" }
"""
FILES = {
    "src/a/handler.py": "a\n",
    "src/b/other.py": "b\n",
    "src/keep.log": "log\n",
    "src/private/notes.txt": "notes\n",
    "src/naïve name.txt": "ü\n",
    "src/run.sh": "#!/bin/sh\n",
    "lone.py": "lone\n",
    "real-one.txt": "one\n",
    "real-two.txt": "two\n",
    "dir-one/x": "x of one\n",
    "dir-two/x": "x of two\n",
    "wild/a.json": "{}\n",
    "wild/a.txt": "text\n",
    "bound/list.txt": "boto3\n",
    "spare/x": "x\n",
    "elsewhere/x": "x\n",
    "third/party/lib/lib.py": "lib\n",
    "third/party/more.py": "more\n",
    "secret.txt": "hush\n",
    "work/uv.lock": LOCK,
    "work/pyproject.toml": '[tool.uv.workspace]\nmembers = ["*"]\n\n[tool.ruff]\nline-length = 100\n',
    "work/one/pyproject.toml": '[project]\nname = "one"\nversion = "0.1.0"\ndependencies = ["wide"]\n',
}
LINKS = {"src/inner": "a/handler.py", "src/folder": "b", "link": "real-one.txt", "linkdir": "dir-one"}


@dataclass(frozen=True, slots=True, kw_only=True)
class World:
    """External images and URLs that the tree uses, and how they change.

    registry: its host. digests: image in it -> the digest of its name at first, and later.
    site: the prefix of URLs. sums: sha256 in hex of ``/asset`` at first, and later.
    """

    registry: str
    digests: dict[str, tuple[str, str]]
    site: str
    sums: tuple[str, str]
    move_asset: Callable[[], object] = lambda: None


@dataclass(slots=True)
class Scene(Tree):
    """The tree in its world, on a machine. machine: the host's name for its architecture."""

    world: World
    flags: dict[str, Any] = field(default_factory=dict)
    machine: str = os.uname().machine

    def _uname(self) -> os.uname_result:
        return os.uname_result((*os.uname()[:4], self.machine))

    def project(self) -> Project:
        with mock.patch("os.uname", return_value=self._uname()):
            return load_project(self.root, env={}, flags=self.flags)

    def graph(self) -> Graph:
        with mock.patch("os.uname", return_value=self._uname()):
            return read_graph(self.project())

    def image(self, name: str, *, prefix: str = "") -> Image:
        """Identify an image as a command does, reading and writing the state folder."""
        project, graph = self.project(), self.graph()
        cache = StatCache(project.state / "stat.json")
        bases = self.externals().identities
        derived = Derived(project.state / "derived.json")
        images, _ = identify(
            project, graph, [name], prefix=prefix, bases=bases, files=cache.files, derived=derived
        )
        cache.save()
        derived.save()
        return images[name]

    def externals(self) -> Externals:
        return read_externals(self.graph().nodes.values(), read_lock(self.root) or Lock(), sandbox(), "amd64")

    def lock(self, *later: str) -> None:
        """Write ``lamina.lock`` with the first digests, or with later ones for the given names."""
        lock = Lock()
        for image, digests in self.world.digests.items():
            name = f"{self.world.registry}/{image}"
            lock = lock.with_pin(Pin(name=name, digest=digests[image in later]))
        self.write("lamina.lock", lock.render())

    def copy(self, root: Path) -> Scene:
        """Copy the tree to another folder, with its state."""
        shutil.copytree(self.root, root, symlinks=True)
        return Scene(root, self.world)


def make_scene(root: Path, world: World) -> Scene:
    scene = Scene(root, world)
    for name, text in DOCKERFILES.items():
        for word, value in {"registry": world.registry, "site": world.site, "sum": world.sums[0]}.items():
            text = text.replace(f"{{{word}}}", value)
        scene.write(f"dockerfiles/{name}/Dockerfile", text)
    scene.write("dockerfiles/mixed/Dockerfile.dockerignore", "src/private\n**/*.log\n")
    scene.write("pyproject.toml", CONFIG)
    scene.lock()
    for path, content in FILES.items():
        scene.write(path, content, executable=path.endswith(".sh"))
    for path, target in LINKS.items():
        scene.link(path, target)
    return scene


Change = Callable[[Scene], object]


@dataclass(frozen=True, slots=True, kw_only=True)
class Mutation:
    """A row: a change, the image it concerns, and the expected verdict.

    unjudged: why BuildKit cannot judge it.
    """

    name: str
    change: Change
    expected: Verdict
    image: str = "mixed"
    unjudged: str | None = None


def _write(path: str, content: str = "new\n") -> Change:
    return lambda scene: scene.write(path, content)


def _chmod(path: str, mode: int) -> Change:
    return lambda scene: (scene.root / path).chmod(mode)


def _link(path: str, target: str) -> Change:
    return lambda scene: scene.link(path, target)


def _dockerfile(old: str, new: str, image: str = "mixed") -> Change:
    return lambda scene: scene.edit(f"dockerfiles/{image}/Dockerfile", old, new)


def _ignore(old: str, new: str) -> Change:
    return lambda scene: scene.edit("dockerfiles/mixed/Dockerfile.dockerignore", old, new)


def _config(old: str, new: str) -> Change:
    return lambda scene: scene.edit("pyproject.toml", old, new)


def _uv_lock(old: str, new: str) -> Change:
    return lambda scene: scene.edit("work/uv.lock", old, new)


def _release(package: str) -> Change:
    """Move a package to another version in ``uv.lock``."""
    return _uv_lock(f'name = "{package}"\nversion = "', f'name = "{package}"\nversion = "9.')


def _lock(image: str) -> Change:
    return lambda scene: scene.lock(image)


def _swap(scene: Scene) -> None:
    scene.move("src/a/handler.py", "tmp")
    scene.move("src/b/other.py", "src/a/handler.py")
    scene.move("tmp", "src/b/other.py")


def _become_folder(scene: Scene) -> None:
    scene.remove("src/b/other.py")
    scene.folder("src/b/other.py")


def _write_anew(scene: Scene) -> None:
    scene.remove("src/a/handler.py")
    scene.write("src/a/handler.py", FILES["src/a/handler.py"])


def _touch(scene: Scene) -> None:
    os.utime(scene.root / "src/a/handler.py", (5, 5))


def _forget(scene: Scene) -> None:
    shutil.rmtree(scene.root / ".lamina", ignore_errors=True)


def _to_crlf(scene: Scene) -> None:
    """Return all lines except those of heredocs, which are data."""
    file, inside, lines = scene.root / "dockerfiles/mixed/Dockerfile", False, []
    for line in file.read_text().splitlines():
        lines.append(line + ("\n" if inside else "\r\n"))
        inside = "<<EOF" in line or (inside and line != "EOF")
    scene.write("dockerfiles/mixed/Dockerfile", "".join(lines))


def _other_machine(scene: Scene) -> None:
    scene.machine = "x86_64" if scene.machine in {"aarch64", "arm64"} else "aarch64"


def _other_checksum(scene: Scene) -> None:
    _dockerfile(*scene.world.sums)(scene)
    scene.world.move_asset()


def _rebuilt(name: str, change: Change, image: str = "mixed", unjudged: str | None = None) -> Mutation:
    return Mutation(name=name, change=change, expected="rebuilt", image=image, unjudged=unjudged)


def _kept(name: str, change: Change, image: str = "mixed", unjudged: str | None = None) -> Mutation:
    return Mutation(name=name, change=change, expected="kept", image=image, unjudged=unjudged)


MUTATIONS: tuple[Mutation, ...] = (
    _rebuilt("a COPYed file is edited", _write("src/a/handler.py")),
    _rebuilt("a file COPYed with --link is edited", _write("lone.py")),
    _rebuilt("chmod +x of a COPYed file", _chmod("src/a/handler.py", 0o755)),
    _rebuilt("chmod -x of a COPYed file", _chmod("src/run.sh", 0o644)),
    _rebuilt("a/handler.py moves to b/handler.py", lambda s: s.move("src/a/handler.py", "src/b/handler.py")),
    _rebuilt("the contents of two files are swapped", _swap),
    _rebuilt("a COPYed file is deleted", lambda scene: scene.remove("src/b/other.py")),
    _rebuilt("a file becomes a folder", _become_folder),
    _rebuilt("a COPYed link is retargeted", _link("src/inner", "b/other.py")),
    _rebuilt("a COPYed link is left dangling", _link("src/inner", "nowhere")),
    _rebuilt("a COPYed link to a folder is retargeted", _link("src/folder", "a")),
    _rebuilt("a link that COPY names is retargeted", _link("link", "real-two.txt")),
    _rebuilt("the file behind such a link is edited", _write("real-one.txt")),
    _rebuilt("a link to a folder that COPY names is retargeted", _link("linkdir", "dir-two")),
    _rebuilt("a file in the folder behind such a link is edited", _write("dir-one/x")),
    _rebuilt("an empty file appears", _write("src/empty", "")),
    _rebuilt("an empty folder appears in a COPYed folder", lambda scene: scene.folder("src/hollow")),
    _rebuilt("a file with a space and ï in its name is edited", _write("src/naïve name.txt")),
    _rebuilt("a file with a line break in its name appears", _write("src/two\nlines", "x")),
    _rebuilt("a wildcard COPY gains a match", _write("wild/b.json", "{}\n")),
    _rebuilt("a file used only by RUN --mount=type=bind is edited", _write("bound/list.txt")),
    _rebuilt("a file of a local named context is edited", _write("third/party/lib/lib.py")),
    _rebuilt("COPY of the whole context: a file appears", _write("anywhere/at/all.txt"), "whole"),
    _rebuilt("COPY of the whole context: a file is edited", _write("elsewhere/x"), "whole"),
    _rebuilt("LF becomes CRLF in a COPYed file", _write("src/a/handler.py", "a\r\n")),
    _rebuilt("Dockerfile.dockerignore excludes a file", _ignore("src/private", "src/private\nsrc/b")),
    _rebuilt("Dockerfile.dockerignore re-includes a file (!)", _ignore("*.log", "*.log\n!src/keep.log")),
    _rebuilt("the value of a build argument", _config("small", "large")),
    _rebuilt("a build argument is removed", _config('MODEL = "small"', "")),
    _rebuilt("the default of an ARG", _dockerfile("LEVEL=1", "LEVEL=2")),
    _rebuilt("a global ARG used in FROM", _dockerfile("PYTHON=3.13", "PYTHON=3.12")),
    _rebuilt("the runtime's digest moves in the lock, the text stays", _lock(RUNTIME)),
    _rebuilt("the digest of COPY --from=<external image> moves", _lock(TOOL)),
    _rebuilt("--target", _config("args =", 'target = "deps"\nargs =')),
    _rebuilt("--platform", lambda scene: scene.flags.update(platform="linux/s390x"), "bare"),
    _rebuilt("the host's architecture, platform unset", _other_machine, "bare"),
    _rebuilt("the platform of a stage", _dockerfile("hard\n\nFROM", "hard\n\nFROM --platform=linux/s390x")),
    _rebuilt("an instruction is edited", _dockerfile("$line $LEVEL", "$LEVEL $line")),
    _rebuilt("an instruction is added", _dockerfile("COPY src", "ENV MODE=new\nCOPY src")),
    _rebuilt("a flag of an instruction", _dockerfile("COPY src", "COPY --chmod=755 src")),
    _rebuilt("the command, which is not in any layer", _dockerfile("/bin/sh", "/bin/ash")),
    _rebuilt("the body of a COPY heredoc", _dockerfile("welcome", "go away")),
    _rebuilt("the body of a RUN heredoc", _dockerfile("from a heredoc", "from the heredoc")),
    _rebuilt("LF becomes CRLF in a heredoc", _dockerfile("welcome $NAME\n", "welcome $NAME\r\n")),
    _rebuilt("the quotes of a heredoc", _dockerfile("<<EOF /etc", "<<'EOF' /etc")),
    _rebuilt("another stage is used", _dockerfile("COPY src", "COPY --from=spare /spare /\nCOPY src")),
    _rebuilt("another secret id", _dockerfile("id=token", "id=other")),
    _rebuilt("the checksum of ADD <URL>", _other_checksum),
    _rebuilt("uv.lock: a package that the member requires", _release("wide"), "locked"),
    _rebuilt("uv.lock: a package that such a package requires", _release("deep"), "locked"),
    _rebuilt("uv.lock: the hash of a wheel", _uv_lock("sha256:11", "sha256:12"), "locked"),
    _rebuilt(
        "uv.lock: the member requires one more",
        _uv_lock('{ name = "wide" },', '{ name = "other" },\n    { name = "wide" },'),
        "locked",
    ),
    _rebuilt(
        "uv.lock: the platforms it is for",
        _uv_lock("\n[manifest]", "supported-markers = [\n    \"sys_platform == 'linux'\",\n]\n\n[manifest]"),
        "locked",
    ),
    _rebuilt(
        "the table [tool.uv] of a workspace",
        lambda scene: scene.edit("work/pyproject.toml", '["*"]', '["o*"]'),
        "locked",
    ),
    _rebuilt(
        "the frontend (syntax=)",
        _dockerfile("ARG PYTHON", "# syntax=docker/dockerfile:1.4\nARG PYTHON"),
        unjudged="another frontend is another program",
    ),
    _kept("nothing", lambda scene: None),
    _kept("a file of the context that is not COPYed is edited", _write("elsewhere/x")),
    _kept("umask drift, 644 to 664", _chmod("src/a/handler.py", 0o664)),
    _kept("umask drift, 755 to 700", _chmod("src/run.sh", 0o700)),
    _kept("the mode of a folder", _chmod("src/a", 0o700)),
    _kept("touch", _touch),
    _kept("the same file is rewritten", _write_anew),
    _kept("no local state", _forget),
    _kept("other local state", _write(".lamina/manifest.json", "{}")),
    _kept("a comment in the Dockerfile", _dockerfile("COPY src", "# why\n\nCOPY src")),
    _kept("a comment within an instruction", _dockerfile("    --mount=type=s", "# s\n    --mount=type=s")),
    _kept("LF becomes CRLF in the Dockerfile", _to_crlf),
    _kept("a stage that the target does not use", _dockerfile("run-tests --hard", "run-tests --soft")),
    _kept("a file of a stage that the target does not use", _write("spare/x")),
    _kept("a global ARG that is not used", _dockerfile("UNUSED=1", "UNUSED=2")),
    _kept("an undeclared build argument", _config("MODEL", 'OTHER = "x", MODEL')),
    _kept("a file that Dockerfile.dockerignore excludes", _write("src/private/notes.txt")),
    _kept("a file appears that Dockerfile.dockerignore excludes", _write("src/new.log")),
    _kept("a rule that excludes nothing", _ignore("src/private", "src/private\nnobody")),
    _kept("a file appears that the wildcard does not match", _write("wild/b.txt")),
    _kept("a file of a named context that is not COPYed", _write("third/party/more.py")),
    _kept("a named context that is not read", _config("{ vendor", '{ o = "src", vendor')),
    _kept("a file that no link points to", _write("real-two.txt")),
    _kept("the value of a secret, same id", _write("secret.txt", "hush hush\n")),
    _kept("a secret is no longer provided", _config('token = { file = "secret.txt" }', "")),
    _kept("the stack", lambda scene: scene.flags.update(stack="prod")),
    _kept("__pycache__ appears in a COPYed folder", _write("src/__pycache__/handler.cpython-313.pyc")),
    _kept("*.pyc appears in a COPYed folder", _write("src/stale.pyc")),
    _kept(".venv appears in a COPYed folder", _write("src/.venv/pyvenv.cfg")),
    _kept(".mypy_cache appears in a COPYed folder", _write("src/.mypy_cache/3.13/cache.json")),
    _kept("*.egg-info appears in a COPYed folder", _write("src/receipt.egg-info/PKG-INFO")),
    _kept("the content of a URL with --checksum", lambda scene: scene.world.move_asset()),
    _kept("uv.lock: a package that another member requires", _release("other"), "locked"),
    _kept("uv.lock: a package for development, which is not installed", _release("linter"), "locked"),
    _kept("uv.lock: another version of the member itself", _release("one"), "locked"),
    _kept(
        "uv.lock: another member requires one more",
        _uv_lock('{ name = "other" },', '{ name = "deep" },\n    { name = "other" },'),
        "locked",
    ),
    _kept(
        "uv.lock: a member is added",
        _uv_lock(
            '[[package]]\nname = "two"',
            '[[package]]\nname = "tri"\nversion = "1"\n'
            'source = { virtual = "tri" }\n\n[[package]]\nname = "two"',
        ),
        "locked",
    ),
    _kept(
        "a table of another tool than uv, in a workspace",
        lambda scene: scene.edit("work/pyproject.toml", "100", "90"),
        "locked",
    ),
    _kept(
        "the host's architecture, platform set",
        _other_machine,
        "fixed",
        unjudged="one engine has one architecture",
    ),
    Mutation(
        name="the content of a URL without --checksum",
        change=lambda scene: scene.world.move_asset(),
        expected="kept, with a note",
        image="loose",
    ),
)
