"""Debian packages, downloaded by apt and unpacked into the cache without installing them."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from lamina.errors import EngineError
from lamina.files import cache_home, draft_beside, locked, write_atomic
from lamina.process import Command, Completed, Runner
from lamina.provider import Say
from lamina.sandbox.sources import (
    AptSource,
    paragraphs,
    parse_os_release,
    pick_source,
    read_sources,
    render_sources,
)

# Part of the folder's name: increase it when the tables below change.
_RECIPE = "1"
_RECORD = "packages.json"
_RELEASE = "release"
_ARCHITECTURES = {"x86_64": "amd64", "aarch64": "arm64"}
_TRIPLETS = {"amd64": "x86_64-linux-gnu", "arm64": "aarch64-linux-gnu"}
_IPTABLES_NAMES = ("iptables", "iptables-save", "iptables-restore")
# debootstrap needs wget; apt's own downloader is always present and uses the machine's proxies.
_WGET = """\
#!/bin/sh
while [ $# -gt 0 ]; do
  case "$1" in
    -O) target=$2; shift ;;
    -*) ;;
    *) address=$1 ;;
  esac
  shift
done
exec /usr/lib/apt/apt-helper -o APT::Sandbox::User=root download-file "$address" "$target"
"""
_DEPENDS_LIBC = re.compile(r"\blibc6 \(>= (?P<version>[0-9.]+)\)")


@dataclass(frozen=True, slots=True, kw_only=True)
class Group:
    """Packages that must come from the same suite, and the suites to try, best first."""

    names: tuple[str, ...]
    suites: tuple[str, ...]
    required: bool = True


# Debian 12 has docker 20.10 and no buildx; trixie's buildx 0.13 cannot push without storing. The Go programs
# of newer suites work with Debian 12's libc, which `fetch` checks before it takes them.
GROUPS = (
    Group(names=("docker.io", "docker-cli", "containerd"), suites=("sid", "trixie")),
    Group(names=("docker-buildx",), suites=("sid",)),
    *(
        Group(names=(name,), suites=(_RELEASE,))
        for name in ("runc", "iptables", "iproute2", "docker-registry", "debootstrap")
    ),
    # Libraries of iptables and iproute2, whose names differ between releases.
    *(
        Group(names=(name,), suites=(_RELEASE,), required=False)
        for name in (
            *("tini", "tini-static"),
            *("libip4tc2", "libip6tc2", "libxtables12", "libmnl0", "libnftnl11", "libnfnetlink0"),
            *("libnetfilter-conntrack3", "libbpf1", "libbsd0", "libcap2", "libelf1", "libelf1t64"),
            *("libtirpc3", "libtirpc3t64"),
        )
    ),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class PackageCandidate:
    """A version of a package in a suite."""

    name: str
    version: str
    suite: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Prefix:
    """A folder of unpacked packages. packages: ``name=version``, sorted."""

    path: Path
    architecture: str
    packages: tuple[str, ...]

    @property
    def docker(self) -> Path:
        """The docker program."""
        return self.path / "usr/bin/docker"

    @property
    def buildx(self) -> Path:
        """The buildx program, which also runs without docker."""
        return self.path / "usr/libexec/docker/cli-plugins/docker-buildx"

    @property
    def dockerd(self) -> Path:
        """The dockerd program."""
        return self.path / "usr/sbin/dockerd"

    def iptables(self, flavour: str) -> Path:
        """Return iptables of a flavour, ``nft`` or ``legacy``, in a folder of links with docker's names."""
        return self.path / f"lamina/iptables-{flavour}/iptables"

    @property
    def wget(self) -> Path:
        """The folder of debootstrap's ``wget``."""
        return self.path / "lamina/wget"

    @property
    def tool_environment(self) -> dict[str, str]:
        """Variables with which programs of this folder find their libraries."""
        triplet = _TRIPLETS[self.architecture]
        libraries = (self.path / "usr/lib" / triplet, self.path / "lib" / triplet)
        return {
            "LD_LIBRARY_PATH": os.pathsep.join(map(str, libraries)),
            "XTABLES_LIBDIR": str(libraries[0] / "xtables"),
        }

    def search_path(self, *first: Path) -> str:
        """Return a PATH of ``first``, then this folder's programs, then the machine's."""
        own = (self.path / part for part in ("usr/sbin", "usr/bin", "sbin", "bin"))
        machine = os.environ.get("PATH", "/usr/sbin:/usr/bin:/sbin:/bin")
        return os.pathsep.join([*map(str, first), *map(str, own), machine, "/usr/sbin", "/sbin"])


def machine_architecture() -> str:
    """Return Debian's name of this machine's architecture. Raises EngineError for an unsupported one."""
    machine = os.uname().machine
    if machine not in _ARCHITECTURES:
        raise EngineError.of(f"no packages for {machine}", allowed=", ".join(_ARCHITECTURES))
    return _ARCHITECTURES[machine]


def machine_source() -> AptSource:
    """Return the mirror in the machine's apt sources. Raises EngineError without a Debian mirror."""
    path = Path("/etc/os-release")
    release = parse_os_release(path.read_text()) if path.is_file() else {}
    return pick_source(read_sources(), release)


def prefix(runner: Runner, say: Say) -> Prefix:
    """Return the unpacked packages, downloaded on first use (100 MB). Raises EngineError."""
    architecture = machine_architecture()
    source = machine_source()
    home = cache_home() / "packages"
    final = home / f"{source.suite}-{architecture}-{_RECIPE}"
    if found := _recorded(final):
        return found
    with locked(home / f".{final.name}.lock"):
        if found := _recorded(final):
            return found
        say("fetching the Docker engine from Debian (100 MB, once)")
        with draft_beside(final) as draft:
            packages = fetch(runner, source, architecture, draft)
            tree = draft / "tree"
            record = {"architecture": architecture, "packages": packages}
            write_atomic(tree / _RECORD, json.dumps(record, indent=2) + "\n")
            tree.rename(final)
    made = _recorded(final)
    assert made is not None  # noqa: S101 - written three lines above
    return made


def fetch(runner: Runner, source: AptSource, architecture: str, draft: Path) -> list[str]:
    """Fill ``draft/tree`` from the mirror. Return the packages (``name=version``), sorted."""
    state, tree, archives = draft / "apt", draft / "tree", draft / "archives"
    for folder in (state / "lists/partial", state / "cache/archives/partial", state / "log", tree, archives):
        folder.mkdir(parents=True)
    (state / "status").touch()
    suites = [source.suite, *(suite for group in GROUPS for suite in group.suites if suite != _RELEASE)]
    (state / "lamina.sources").write_text(render_sources(source, suites, architecture))
    options = private_apt(state)
    _apt(runner, Command(argv=("apt-get", *options, "update", "--error-on=any")))
    names = dict.fromkeys(name for group in GROUPS for name in group.names)
    listed = _apt(runner, Command(argv=("apt-cache", *options, "madison", *names)))
    candidates = [each for each in parse_madison(listed.stdout) if each.suite in suites]
    have = _numbers((os.confstr("CS_GNU_LIBC_VERSION") or "glibc 0").split()[-1])
    needs = _libc_needs(runner, options, [each for each in candidates if each.suite != source.suite])
    chosen = choose(
        GROUPS, candidates, source.suite, lambda each: needs.get((each.name, each.version), ()) <= have
    )
    packages = sorted(f"{each.name}={each.version}" for each in chosen)
    _apt(runner, Command(argv=("apt-get", *options, "download", *packages), cwd=archives))
    for archive in sorted(archives.iterdir()):
        _apt(runner, Command(argv=("dpkg", "-x", str(archive), str(tree))))
    _arrange(tree)
    return packages


def choose(
    groups: Iterable[Group],
    candidates: Sequence[PackageCandidate],
    release: str,
    fits: Callable[[PackageCandidate], bool],
) -> tuple[PackageCandidate, ...]:
    """Return each group's packages from the first suite that has all of them in fitting versions.

    Raises EngineError that names every required group without such a suite.
    """
    by_suite = {(candidate.suite, candidate.name): candidate for candidate in candidates}
    chosen: list[PackageCandidate] = []
    missing: list[str] = []
    for group in groups:
        for suite in (release if suite == _RELEASE else suite for suite in group.suites):
            found = [by_suite.get((suite, name)) for name in group.names]
            members = [candidate for candidate in found if candidate is not None and fits(candidate)]
            if len(members) == len(group.names):
                chosen.extend(members)
                break
        else:
            if group.required:
                missing.append(f"{', '.join(group.names)} ({' or '.join(group.suites)})")
    if missing:
        raise EngineError.of(
            f"the machine's Debian mirror has no usable {'; '.join(missing)}", where="/etc/apt"
        )
    return tuple(chosen)


def parse_madison(text: str) -> tuple[PackageCandidate, ...]:
    """Parse ``apt-cache madison``: ``name | version | mirror suite/component architecture Packages``."""
    candidates: list[PackageCandidate] = []
    for line in text.splitlines():
        cells = [cell.strip() for cell in line.split("|")]
        if len(cells) == 3 and len(source := cells[2].split()) >= 2:
            candidates.append(
                PackageCandidate(name=cells[0], version=cells[1], suite=source[1].split("/")[0])
            )
    return tuple(candidates)


def libc_needed(depends: str) -> tuple[int, ...]:
    """Return the libc version that a package's dependencies require, ``()`` for any."""
    versions = [_numbers(match["version"]) for match in _DEPENDS_LIBC.finditer(depends)]
    return max(versions, default=())


def private_apt(state: Path) -> tuple[str, ...]:
    """Return options that make apt read and write only in ``state``."""
    options = {
        "Dir::Etc::sourcelist": state / "lamina.sources",
        "Dir::Etc::sourceparts": "-",
        "Dir::Etc::preferences": "-",
        "Dir::Etc::preferencesparts": "-",
        "Dir::State::Lists": state / "lists",
        "Dir::State::status": state / "status",
        "Dir::Cache": state / "cache",
        "Dir::Cache::pkgcache": "pkgcache.bin",
        "Dir::Cache::srcpkgcache": "srcpkgcache.bin",
        "Dir::Log": state / "log",
        "Acquire::Languages": "none",
        "APT::Sandbox::User": "root",
    }
    return tuple(word for name, value in options.items() for word in ("-o", f"{name}={value}"))


def _recorded(folder: Path) -> Prefix | None:
    try:
        record = json.loads((folder / _RECORD).read_text())
    except FileNotFoundError:
        return None
    return Prefix(path=folder, architecture=record["architecture"], packages=tuple(record["packages"]))


def _libc_needs(
    runner: Runner, options: Sequence[str], candidates: Iterable[PackageCandidate]
) -> dict[tuple[str, str], tuple[int, ...]]:
    """Return (name, version) -> required libc, for packages from other suites than this release's."""
    foreign = {name for group in GROUPS for name in group.names if group.suites != (_RELEASE,)}
    wanted = [
        f"{candidate.name}={candidate.version}" for candidate in candidates if candidate.name in foreign
    ]
    shown = _apt(runner, Command(argv=("apt-cache", *options, "show", *wanted))).stdout
    return {
        (fields["package"], fields["version"]): libc_needed(
            f"{fields.get('pre-depends', '')}, {fields.get('depends', '')}"
        )
        for fields in paragraphs(shown)
    }


def _arrange(tree: Path) -> None:
    """Add what installed packages would find in the system: links for iptables, debootstrap's wget."""
    for flavour in ("nft", "legacy"):
        folder = tree / f"lamina/iptables-{flavour}"
        folder.mkdir(parents=True)
        for name in (*_IPTABLES_NAMES, *(name.replace("ip", "ip6", 1) for name in _IPTABLES_NAMES)):
            (folder / name).symlink_to(f"../../usr/sbin/xtables-{flavour}-multi")
    wget = tree / "lamina/wget/wget"
    wget.parent.mkdir()
    wget.write_text(_WGET)
    wget.chmod(0o755)


def _apt(runner: Runner, command: Command) -> Completed:
    done = runner.run(command)
    if not done.ok:
        words = (done.stderr or done.stdout).strip().splitlines()
        raise EngineError.of(
            f"{command.argv[0]} failed with code {done.code}: " + " / ".join(words[-4:]),
            where="/etc/apt",
            hint="check that `apt-get update` works on this machine",
        )
    return done


def _numbers(version: str) -> tuple[int, ...]:
    return tuple(int(part) for part in version.split(".") if part.isdigit())
