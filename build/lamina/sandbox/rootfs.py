"""The stand-in's file system: a minimal Debian with Python, AWS' runtime interface client and boto3."""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from lamina.errors import EngineError
from lamina.process import Command, Completed, Runner
from lamina.provider import Say

if TYPE_CHECKING:
    from lamina.sandbox.packages import Prefix
    from lamina.sandbox.sources import AptSource

INCLUDE = ("ca-certificates", "libstdc++6", "python3", "python3-pip")
PACKAGES = ("awslambdaric", "boto3")
"""What AWS's runtimes have besides Python: the runtime interface client, and boto3."""
ENTRYPOINT = """\
#!/bin/sh
if [ $# -ne 1 ]; then
  echo "entrypoint requires the handler name to be the first argument" 1>&2
  exit 142
fi
exec python3 -m awslambdaric "$1"
"""
_GLIBC_FLOORS = (17, 24, 26, 27, 28, 31, 34, 35, 36)
_MACHINES = {"amd64": "x86_64", "arm64": "aarch64"}
# Files that depend on the machine or time, that apt can download again, or that containers do not need.
_REMOVED = (
    *("etc/apt/sources.list", "etc/apt/sources.list.d/*", "etc/hostname", "etc/resolv.conf", "etc/.pwd.lock"),
    *("etc/machine-id", "var/lib/dbus", "etc/*-", "var/lib/dpkg/*-old", "var/lib/dpkg/lock*"),
    *("var/lib/apt/*", "var/cache/*", "var/backups/*", "usr/share/locale/*", "usr/share/man/*"),
    *("usr/share/info/*", "usr/share/lintian", "usr/share/bug", "usr/lib/python3*/EXTERNALLY-MANAGED"),
    *("root/.cache", "root/.wget-hsts", "debootstrap"),
)
_LOGS = "var/log"
_DOCS = "usr/share/doc"


def build_root(
    runner: Runner, prefix: Prefix, source: AptSource, root: Path, *, suite: str, python: str, say: Say
) -> tuple[str, ...]:
    """Fill ``root`` and return its packages, ``name=version``, sorted.

    Args:
        source: the mirror of ``suite``.
        python: ``3.13``.

    Raises:
        EngineError: a tool failed; it has the tools' output.
    """
    say(f"unpacking Debian {suite} with Python {python} (about a minute, once)")
    _bootstrap(runner, prefix, source, root, suite)
    say(f"installing {' and '.join(PACKAGES)} into it")
    _install_packages(runner, prefix, root, python)
    entrypoint = root / "lambda-entrypoint.sh"
    entrypoint.write_text(ENTRYPOINT)
    entrypoint.chmod(0o755)
    for folder in ("var/task", "var/runtime", "opt"):
        (root / folder).mkdir(parents=True, exist_ok=True)
    if not (root / "usr/bin/python").exists():
        (root / "usr/bin/python").symlink_to("python3")
    packages = (*_debian_packages(runner, root), *_python_packages(root, python))
    clean(root)
    _compile(runner, root, python)
    return tuple(sorted(packages))


def clean(root: Path) -> None:
    """Remove files that differ between machines or days, and files that are not needed."""
    for pattern in _REMOVED:
        for path in list(root.glob(pattern)):
            _remove(path)
    for path in [*_files(root / _LOGS), *root.glob("usr/bin/*.pyc")]:
        path.unlink()
    for path in list(_files(root / _DOCS)):
        if path.name != "copyright":  # licences require it
            path.unlink()
    for cache in list(root.rglob("__pycache__")):
        _remove(cache)
    shadow = root / "etc/shadow"
    if shadow.exists():
        shadow.write_text(undated(shadow.read_text()))
    (root / "etc/machine-id").touch()


def undated(shadow: str) -> str:
    """Set the third field of shadow(5), the day of the last password change, to 1."""
    return re.sub(r"(?m)^([^:]*:[^:]*:)\d+:", r"\g<1>1:", shadow)


def platforms(architecture: str) -> tuple[str, ...]:
    """Return the wheel platforms that work with the suites' oldest glibc, 2.36."""
    machine = _MACHINES[architecture]
    return (f"manylinux2014_{machine}", *(f"manylinux_2_{minor}_{machine}" for minor in _GLIBC_FLOORS))


def site_folder(root: Path, python: str) -> Path:
    """Return the folder in which Debian's pip installs as root."""
    return root / f"usr/local/lib/python{python}/dist-packages"


def _bootstrap(runner: Runner, prefix: Prefix, source: AptSource, root: Path, suite: str) -> None:
    trust = dict(source.trust)
    options: list[str] = []
    if keyring := source.keyring():
        options.append(f"--keyring={keyring}")
    if trust.get("trusted", "").lower() == "yes":
        options.append("--no-check-gpg")
    command = Command(
        # In its own mount namespace, so that a crash cannot leave /proc mounted in the cache.
        argv=(
            *("unshare", "--mount", "--", str(prefix.path / "usr/sbin/debootstrap")),
            *("--variant=minbase", f"--arch={prefix.architecture}", f"--include={','.join(INCLUDE)}"),
            # debootstrap calls all of these suites by the script of sid, and older ones do not know each.
            *(*options, suite, str(root), source.uri, "sid"),
        ),
        env={
            "DEBOOTSTRAP_DIR": str(prefix.path / "usr/share/debootstrap"),
            "PATH": os.pathsep.join([str(prefix.wget), "/usr/sbin:/usr/bin:/sbin:/bin"]),
            "LC_ALL": "C",
        },
    )
    done = runner.run(command)
    if not done.ok:
        log = root / "debootstrap/debootstrap.log"
        words = log.read_text(errors="replace") if log.exists() else done.stdout + done.stderr
        raise EngineError.of(f"debootstrap of {suite} failed with code {done.code}:\n{_last(words)}")


def _install_packages(runner: Runner, prefix: Prefix, root: Path, python: str) -> None:
    """Install from outside the image: the machine's pip settings apply but do not get into it."""
    import shutil
    from importlib.util import find_spec

    folder = site_folder(root, python)
    folder.mkdir(parents=True, exist_ok=True)
    done = runner.run(
        Command(
            argv=(
                *(sys.executable, "-m", "pip", "install", "--target", str(folder), "--no-compile"),
                *("--only-binary=:all:", "--implementation=cp", f"--python-version={python}"),
                *(f"--platform={platform}" for platform in platforms(prefix.architecture)),
                *("--no-cache-dir", "--disable-pip-version-check", *PACKAGES),
            ),
            env={
                # An environment made by uv has no pip; the image's own works as well.
                **({} if find_spec("pip") else {"PYTHONPATH": str(root / "usr/lib/python3/dist-packages")}),
                "PIP_USER": "0",
                "PIP_REQUIRE_VIRTUALENV": "0",
                "PYTHONDONTWRITEBYTECODE": "1",
            },
        )
    )
    if not done.ok:
        raise EngineError.of(
            f"pip install {' '.join(PACKAGES)} failed with code {done.code}:\n{_last(done.stderr)}",
            hint=f"check that `{sys.executable} -m pip download {PACKAGES[0]}` works on this machine",
        )
    shutil.rmtree(folder / "bin", ignore_errors=True)


def _compile(runner: Runner, root: Path, python: str) -> None:
    """Compile Python files by hash, not by time, else every `RUN pip install` would write them again.

    ``-B``: the compiler must not first write by time what it imports itself, and then leave that as it is.
    """
    folders = (f"/usr/lib/python{python}", "/usr/lib/python3/dist-packages", f"/usr/local/lib/python{python}")
    argv = ("python3", "-B", "-m", "compileall", "-q", "--invalidation-mode", "unchecked-hash", *folders)
    clean_environment = ("env", "-i", "PATH=/usr/bin:/bin", "LC_ALL=C.UTF-8", "PYTHONHASHSEED=0")
    _must(runner, Command(argv=("chroot", str(root), *clean_environment, *argv)))


def _debian_packages(runner: Runner, root: Path) -> list[str]:
    database = root / "var/lib/dpkg"
    query = ("dpkg-query", f"--admindir={database}", "--show", "--showformat=${Package}=${Version}\\n")
    return _must(runner, Command(argv=query)).stdout.split()


def _python_packages(root: Path, python: str) -> list[str]:
    from importlib.metadata import distributions  # slow to import, and every build imports this module

    found = distributions(path=[str(site_folder(root, python))])
    return [f"{item.metadata['Name'].lower()}={item.version}" for item in found]


def _must(runner: Runner, command: Command) -> Completed:
    done = runner.run(command)
    if not done.ok:
        words = _last(done.stderr or done.stdout)
        raise EngineError.of(f"`{command.argv[0]}` failed with code {done.code}:\n{words}")
    return done


def _files(folder: Path) -> Iterator[Path]:
    return (path for path in folder.rglob("*") if path.is_symlink() or path.is_file())


def _remove(path: Path) -> None:
    import shutil

    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink()


def _last(words: str) -> str:
    return "\n".join(f"  | {line}" for line in words.strip().splitlines()[-8:])
