"""Install what project files require into a folder, for another platform, without running anything there.

    python3 install_deps.py --platform linux/arm64 --python 3.13 --into FOLDER FILE... [--base FILE...]

FILE is a pyproject.toml or a requirements.txt. Packages of this repository are left out: their source is
copied, not installed. What the --base files require is in the base image already and left out too, and
what both need is taken at the version that the base has. A constraints.txt beside a FILE pins versions.
The installed files get one fixed time, so that equal content gives an equal layer. They are compiled by
this Python: /var/task is read-only on Lambda, so every cold start would compile what it imports.
--no-bytecode leaves that out.
"""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

EPOCH = 315_532_800  # 1980-01-01, the oldest date that zip files can hold
TRIPLES = {"linux/amd64": "x86_64-manylinux_2_28", "linux/arm64": "aarch64-manylinux_2_28"}
RETRIES = "8"  # a package index that does not answer for a minute should not end a build
ROOT = Path("/rootfs")  # what the image gets at /
TESTS = "/tests?/"  # folders that no function imports
CA = Path("/run/secrets/ca")  # a build secret: present where downloads pass through an inspecting proxy


def main() -> None:
    """Read the command line and install."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--platform", choices=sorted(TRIPLES), required=True)
    parser.add_argument("--python", required=True, help="minor version, 3.13")
    parser.add_argument("--into", type=Path, required=True)
    parser.add_argument("--base", type=Path, nargs="*", default=[])
    parser.add_argument("--no-bytecode", dest="bytecode", action="store_false")
    parser.add_argument("files", type=Path, nargs="+")
    options = parser.parse_args()
    target = ("--python-platform", TRIPLES[options.platform], "--python-version", options.python)
    base = resolve(options.base, target, pins=[])
    wanted = resolve([*options.base, *options.files], target, pins=base)
    install([line for line in wanted if line not in base], options.into, target)
    clean(options.into)
    if options.bytecode:
        compile_all(options.into, options.python)
    set_times(options.into)


def resolve(files: list[Path], target: tuple[str, ...], pins: list[str]) -> list[str]:
    """All third-party requirements of the files, resolved to ``name==version`` lines."""
    if not files:
        return []
    constraints = [path for file in files if (path := file.with_name("constraints.txt")).exists()]
    command = ["pip", "compile", "--quiet", "--no-header", "--no-annotate", *target]
    command += [word for file in constraints for word in ("--constraints", str(file))]
    command += [word for name in local_names(files) for word in ("--no-emit-package", name)]
    command += ["--constraints", "-", *map(str, files)]
    return uv(*command, stdin="\n".join(pins)).split("\n")[:-1]


def local_names(files: list[Path]) -> list[str]:
    """The names of packages that the files take from a folder beside them."""
    projects = [tomllib.loads(file.read_text("utf-8")) for file in files if file.suffix == ".toml"]
    sources = [project.get("tool", {}).get("uv", {}).get("sources", {}) for project in projects]
    return sorted({name for each in sources for name, source in each.items() if "path" in source})


def install(lines: list[str], into: Path, target: tuple[str, ...]) -> None:
    """Unpack wheels of exactly these versions; there is nothing to compile and nothing to run."""
    into.mkdir(parents=True, exist_ok=True)
    print("\n".join(lines), flush=True)
    if lines:
        options = ("--no-deps", "--only-binary", ":all:", "--link-mode", "copy", "--target", str(into))
        uv("pip", "install", *options, *target, "--requirements", "-", stdin="\n".join(lines))


def uv(*arguments: str, stdin: str) -> str:
    """Run uv; its output. Its own messages pass through."""
    ca = {"SSL_CERT_FILE": str(CA)} if CA.exists() else {}
    environment = {"UV_HTTP_RETRIES": RETRIES, **os.environ, **ca}
    command = [sys.executable, "-m", "uv", *arguments]
    done = subprocess.run(
        command, input=stdin, stdout=subprocess.PIPE, text=True, env=environment, check=False
    )
    if done.returncode:
        sys.exit(done.returncode)
    return done.stdout


def clean(into: Path) -> None:
    """Drop what only this machine could use."""
    shutil.rmtree(into / "bin", ignore_errors=True)
    (into / ".lock").unlink(missing_ok=True)
    for path in [*into.rglob("__pycache__")]:
        if not path.is_symlink():
            shutil.rmtree(path)


def compile_all(into: Path, version: str) -> None:
    """Compile all modules but those of tests; files that do not parse are left to whoever imports them.

    The bytecode is valid whatever the times of the files (layers may change them), and says /var/task, not
    the folder of this build. A fixed hash seed makes it the same in every build.
    """
    if version != f"{sys.version_info.major}.{sys.version_info.minor}":
        sys.exit(f"bytecode for Python {version} needs that version: pass --no-bytecode")
    paths = ("-s", str(ROOT), "-p", "/") if ROOT in into.parents else ()
    mode = ("--invalidation-mode", "unchecked-hash")
    command = (sys.executable, "-W", "ignore", "-m", "compileall", "-qq", "-f", "-j", "0", "-x", TESTS)
    subprocess.run(
        (*command, *mode, *paths, str(into)), env={**os.environ, "PYTHONHASHSEED": "0"}, check=False
    )
    files = [file.stat().st_size for file in into.rglob("*.pyc")]
    print(f"{len(files)} .pyc files, {sum(files) / 1e6:.1f} MB", flush=True)


def set_times(into: Path) -> None:
    """Give all files one time."""
    for path in sorted(into.rglob("*"), reverse=True):
        os.utime(path, (EPOCH, EPOCH), follow_symlinks=False)
    for folder in (into, *into.parents[:-1]):
        os.utime(folder, (EPOCH, EPOCH))


if __name__ == "__main__":
    main()
