"""Dockerfiles of every shape build from the staged context; ours also build without Lamina."""

from __future__ import annotations

import json
import subprocess
import tarfile
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from conftest import TestEngine, sampled
from projects import Repo

from frontend import REFUSED, TAKEN, dockerfile
from lamina.declare.machine import native_platform

pytestmark = pytest.mark.engine

RUNTIME = "public.ecr.aws/lambda/python:3.13"


def files_of(engine: TestEngine, ref: str, into: Path) -> dict[str, tarfile.TarInfo]:
    """All files and links of an image by path; the image may be for another platform."""
    into.mkdir(exist_ok=True)
    archive = into / "image.tar"
    engine.call("image", "save", "--output", str(archive), ref.partition("@")[0])
    found: dict[str, tarfile.TarInfo] = {}
    with tarfile.open(archive) as outer:
        manifest = json.loads(outer.extractfile("manifest.json").read())  # type: ignore[union-attr]
        for layer in manifest[0]["Layers"]:
            with tarfile.open(fileobj=outer.extractfile(layer)) as inner:
                found |= {member.name.removeprefix("./"): member for member in inner if not member.isdir()}
    return found


def test_a_dockerfile_with_every_feature(repo: Repo, engine: TestEngine) -> None:
    repo.write(
        "images/all/Dockerfile",
        "ARG VERSION=3.13\n"
        f"FROM {RUNTIME.replace('3.13', '${VERSION}')} AS tools\n"
        "ARG GREETING=unset\n"
        "RUN --mount=type=bind,source=bound,target=/bound \\\n"
        '    cat /bound/part.txt > /made.txt && echo "$GREETING" >> /made.txt\n'
        "RUN <<EOF\n"
        "echo from a heredoc >> /made.txt\n"
        "EOF\n"
        "\n"
        "FROM scratch AS wanted\n"
        "COPY --from=tools /made.txt /made.txt\n"
        "COPY --from=library/shared:latest data/*.json /shared/\n"
        "COPY conf-?.ini [xy]*/ /conf/\n"
        'COPY ["with space.txt", "/"]\n'
        "COPY --link --chmod=0600 secretive.txt /\n"
        "COPY <<EOF /inline.txt\n"
        "inline ${GREETING}\n"
        "EOF\n"
        "COPY links/ /links/\n"
        "\n"
        "FROM tools AS unwanted\n"
        "RUN exit 1\n",
    )
    repo.write(
        "pyproject.toml",
        "[tool.lamina.images.all]\n"
        'dockerfile = "images/all/Dockerfile"\n'
        'target = "wanted"\n'
        'args = { GREETING = "costs $5 at 100%{sale} for ${you}" }\n'
        'contexts = { shared = "elsewhere/shared" }\n',
    )
    repo.write("bound/part.txt", "bound\n")
    repo.write("elsewhere/shared/data/one.json", "{}\n")
    repo.write("elsewhere/shared/data/two.json", "{}\n")
    repo.write("elsewhere/shared/data/no.txt", "no\n")
    for name in ("conf-a.ini", "conf-b.ini", "conf-long.ini", "xenon/b.ini", "yard/c.ini", "dull/d.ini"):
        repo.write(name, f"{name}\n")
    repo.write("with space.txt", "space\n")
    repo.write("secretive.txt", "secretive\n")
    repo.write("links/real.txt", "real\n").chmod(0o755)
    (repo.root / "links/alias.txt").symlink_to("real.txt")

    done = repo.ok("build-all", "--json")
    assert done.built == ["all"]
    assert done.images("kind")["all"] == "lambda"
    files = files_of(engine, done.images("ref")["all"], repo.root.parent / "out")
    expected = {
        "made.txt", "shared/one.json", "shared/two.json", "conf/conf-a.ini", "conf/conf-b.ini", "conf/b.ini",
        "conf/c.ini", "with space.txt", "secretive.txt", "inline.txt", "links/real.txt", "links/alias.txt",
    }  # fmt: skip
    assert set(files) == expected
    assert files["secretive.txt"].mode & 0o777 == 0o600
    assert files["conf/b.ini"].mode & 0o777 == 0o644
    assert files["links/real.txt"].mode & 0o777 == 0o755
    assert files["links/alias.txt"].issym()
    assert repo.ok("build-all", "--json").built == []

    for path, reason in {
        "bound/part.txt": "bound/part.txt modified",
        "elsewhere/shared/data/two.json": "shared:data/two.json modified",
        "yard/c.ini": "yard/c.ini modified",
    }.items():
        before = (repo.root / path).read_text()
        repo.append(path, "changed\n")
        assert repo.ok("plan", "--json").images("reasons")["all"] == [reason]
        repo.write(path, before)
    repo.replace("pyproject.toml", "costs $5", "costs $6")
    assert repo.ok("plan", "--json").images("reasons")["all"] == ["build argument GREETING changed"]
    for path in ("elsewhere/shared/data/no.txt", "dull/d.ini", "conf-long.ini"):
        repo.append(path, "changed\n")
    repo.replace("pyproject.toml", "costs $6", "costs $5")
    repo.ok("plan", "--check")


def test_only_mounted_files_change_the_fingerprint(repo: Repo) -> None:
    repo.write(
        "dockerfiles/part/Dockerfile",
        f"FROM {RUNTIME} AS made\n"
        "RUN --mount=source=link,target=/m --mount=type=bind,from=shared,source=sub/one,target=/one \\\n"
        "    cp -r /m /made && cp /one /made/one && test ! -e /made/out\n"
        "RUN --mount=source=no*,target=/m cp /m /made/star\n"
        "FROM scratch\n"
        "COPY --from=made /made /made\n",
    )
    repo.write(
        "dockerfiles/whole/Dockerfile",
        f"FROM {RUNTIME} AS made\n"
        "RUN --mount=target=/m cd /m && test -f real/in && test -h link && test ! -e hidden && find > /made\n"
        "FROM scratch\n"
        "COPY --from=made /made /made\n",
    )
    repo.write("dockerfiles/whole/Dockerfile.dockerignore", "hidden\ndockerfiles\n.lamina\n*.lock\n")
    repo.write("pyproject.toml", '[tool.lamina.images.part.contexts]\nshared = "elsewhere"\n')
    for path in ("real/in", "out", "hidden", "elsewhere/sub/one", "elsewhere/two", "no*", "nothing"):
        repo.write(path, f"{path}\n")
    (repo.root / "link").symlink_to("real")
    assert sorted(repo.ok("build-all", "--json").built) == ["part", "whole"]

    for path, expected in {
        "real/in": ["part", "whole"],
        "elsewhere/sub/one": ["part", "whole"],
        "no*": ["part", "whole"],
        "elsewhere/two": ["whole"],
        "out": ["whole"],
        "nothing": ["whole"],
        "hidden": [],
    }.items():
        repo.append(path, "changed\n")
        plan = repo.ok("plan", "--json").images()
        assert [name for name, action in sorted(plan.items()) if action == "build"] == expected, path
        repo.write(path, f"{path}\n")
    repo.append("real/in", "changed\n")
    assert sorted(repo.ok("build-all", "--json").built) == ["part", "whole"]


def test_another_architecture_needs_no_emulation_when_nothing_runs(repo: Repo, engine: TestEngine) -> None:
    other = "linux/arm64" if native_platform() == "linux/amd64" else "linux/amd64"
    repo.write("dockerfiles/base-files/Dockerfile", "FROM scratch\nCOPY --link a.py /var/task/\n")
    repo.write(
        "dockerfiles/lambda-far/Dockerfile", 'FROM base-files\nCOPY --link b.py /var/task/\nCMD ["b.b"]\n'
    )
    repo.write("a.py", "A = 1\n")
    repo.write("b.py", "def b(event, context):\n    return event\n")
    native = repo.ok("build-all", "--json")
    repo.write("pyproject.toml", f'[tool.lamina]\nplatform = "{other}"\n')
    done = repo.ok("build-all", "--json")
    assert done.built == ["base-files", "lambda-far"]
    assert set(done.images("platform").values()) == {other}
    assert done.images("tag") != native.images("tag")
    for ref in done.images("ref").values():
        found = engine.inspect(ref.partition("@")[0])
        assert found is not None
        assert f"{found['Os']}/{found['Architecture']}" == other
        assert found["Descriptor"]["mediaType"] == "application/vnd.oci.image.manifest.v1+json"
    back = repo.ok("build-all", "--json", "--platform", native_platform())
    assert back.built == []


def test_a_build_sees_only_the_staged_context(repo: Repo, engine: TestEngine, tmp_path: Path) -> None:
    """Compare a build of the staged context with BuildKit's build of the folder itself."""
    repo.write("dockerfiles/lambda-all/Dockerfile", "FROM scratch\nCOPY . /\n")
    repo.write(".dockerignore", "*.log\n!keep.log\nout\n.lamina\nDockerfile*\n")
    for name in ("a.py", "b/c.py", "x.log", "keep.log", "out/o.txt", "b/out/p.txt", "ü ß.txt"):
        repo.write(name, f"{name}\n")
    (repo.root / "b/link").symlink_to("c.py")
    done = repo.ok("build-all", "--json")
    ours = files_of(engine, done.images("ref")["lambda-all"], tmp_path / "ours")
    plain = tmp_path / "plain.tar"
    subprocess.run(
        [
            *(*engine.buildx, "build", "--file", "dockerfiles/lambda-all/Dockerfile"),
            *("--output", f"type=tar,dest={plain}", "."),
        ],
        cwd=repo.root,
        env={**repo.environment(), **engine.environment},
        check=True,
        capture_output=True,
    )
    with tarfile.open(plain) as archive:
        theirs = {member.name: member for member in archive if not member.isdir()}
    assert set(ours) == set(theirs)
    assert {name: ours[name].size for name in ours} == {name: theirs[name].size for name in theirs}


@sampled("cases", sample=list(REFUSED)[::9], complete=list(REFUSED))
def test_buildkit_refuses_what_plan_refuses(engine: TestEngine, tmp_path: Path, cases: Sequence[str]) -> None:
    """Cases that plan accepts are built in one call; each case that it refuses takes a call of its own."""

    def bake(folder: Path, cases: Iterable[str]) -> subprocess.CompletedProcess[str]:
        folder.mkdir()
        targets = {
            f"case-{at}": {
                "context": str(folder),
                "dockerfile-inline": dockerfile(case),
                "output": ["type=cacheonly"],
            }
            for at, case in enumerate(cases)
        }
        document = {"group": {"default": {"targets": list(targets)}}, "target": targets}
        (folder / "bake.json").write_text(json.dumps(document))
        return subprocess.run(
            [*engine.buildx, "bake", f"--file={folder}/bake.json", f"--allow=fs.read={folder}"],
            env=engine.environment,
            capture_output=True,
            text=True,
            timeout=300,
            check=False,
        )

    def refused(numbered: tuple[int, str]) -> str:
        at, case = numbered
        for attempt in range(3):  # a busy engine may give up before it has read the Dockerfile
            done = bake(tmp_path / f"{at}-{attempt}", [case])
            if done.returncode == 0 or "failed to solve" in done.stderr:
                break
        return "" if done.returncode and "failed to solve" in done.stderr else done.stderr or "it was built"

    taken = bake(tmp_path / "taken", TAKEN)
    assert taken.returncode == 0, taken.stderr[-2000:]
    with ThreadPoolExecutor(4) as pool:
        verdicts = dict(zip(cases, pool.map(refused, enumerate(cases)), strict=True))
    assert {case: verdict for case, verdict in verdicts.items() if verdict} == {}
