"""Buildspecs: the commands of a build on CodeBuild, its sources, secrets and results. Pure.

A buildspec is written as JSON, which is also YAML. The machine needs docker with buildx, and the AWS CLI.
Reference: https://docs.aws.amazon.com/codebuild/latest/userguide/build-spec-ref.html
"""

from __future__ import annotations

import hashlib
import json
import re
import shlex
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from lamina.declare.codebuild import PARAMETER
from lamina.refs import ECR_PUBLIC_REGION, EcrHost, Reference, is_ecr_public

BUILDSPEC = "buildspec.yml"
CONTEXTS = "contexts.tar"
"""The staged files, as a tar: a zip keeps neither their times in seconds UTC nor every name."""
RESULTS = "LAMINA_RESULTS"
"""The variable with the destination of events and metadata: ``s3://bucket/prefix/``."""
PREFIX = "lamina"
SOURCES, RETURNS = f"{PREFIX}/sources", f"{PREFIX}/results"
KEPT_DAYS = 30
_BUILDER = "lamina"
_FOLDER, _SECRETS = "results", "secrets"
_BASE, _SECRET = "LAMINA_BASE_{}", "LAMINA_SECRET_{}"
_MARKER = re.compile(r"lamina: step (\d+)")
_UNKNOWN = "sha256:{:064x}"
_FIXED = {"BUILDX_METADATA_PROVENANCE": "disabled", "BUILDX_NO_DEFAULT_ATTESTATIONS": "1"}


@dataclass(frozen=True, slots=True, kw_only=True)
class BuildspecStep:
    """One call of bake.

    Attributes:
        number: from 1.
        bases: number of a base image that an earlier step pushes -> its tag.
    """

    number: int
    bases: Mapping[int, str] = field(default_factory=dict)

    @property
    def bake_file(self) -> str:
        """The name of its bake file in the source."""
        return f"bake-{self.number}.json"

    @property
    def variables(self) -> Mapping[str, str]:
        """Placeholder of a digest that is not known yet -> the variable that will hold it."""
        return {unknown_digest(number): _BASE.format(number) for number in self.bases}


@dataclass(frozen=True, slots=True, kw_only=True)
class CodeBuildMachine:
    """Registries, builder and secrets of a build.

    Attributes:
        logins: host -> region of registries that require a token.
        public: hosts of ECR Public, where a token is optional.
        region: of the bucket.
        buildkit: the image of BuildKit; None for the engine's default builder.
        secrets: the needed ones as in `CodeBuildSettings`, in the order of `secret_file`.
    """

    logins: Mapping[str, str]
    region: str
    buildkit: str | None = None
    secrets: Mapping[str, str] = field(default_factory=dict)
    public: tuple[str, ...] = ()


def logins(references: Iterable[Reference]) -> Mapping[str, str]:
    """Return host -> region of the images in private ECR."""
    hosts = {str(each.host): EcrHost.of(each) for each in references}
    return {name: host.region for name, host in hosts.items() if host}


def public_hosts(references: Iterable[Reference]) -> tuple[str, ...]:
    """Return the hosts of the images in ECR Public."""
    return tuple(sorted({each.pull_host for each in references if is_ecr_public(each.pull_host)}))


def unknown_digest(number: int) -> str:
    """Return a placeholder for a digest that is known only when bake runs."""
    return _UNKNOWN.format(number)


def secret_file(number: int) -> str:
    """Return the file of a secret by its number, relative to the source."""
    return f"{_SECRETS}/{number}"


EVENTS = "events-*.jsonl"


def events_file(number: int) -> str:
    """Return the name of a step's event file, as in a local run."""
    return f"events-{number}.jsonl"


def metadata_file(number: int) -> str:
    """Return the name of a step's metadata file, as in a local run."""
    return f"metadata-{number}.json"


def step_of(line: str) -> int | None:
    """Return the number of the step that begins at a line of the log; None for other lines."""
    found = _MARKER.fullmatch(line.strip())
    return int(found.group(1)) if found else None


def buildspec(steps: Sequence[BuildspecStep], machine: CodeBuildMachine) -> str:
    """Return the text of the buildspec that runs the steps one after the other."""
    document = {
        "version": 0.2,
        "env": {"shell": "bash", "variables": _FIXED, **_secret_sources(machine)},
        "phases": {
            "pre_build": {"commands": list(_preparation(machine))},
            "build": {
                "commands": [_bake(step) for step in steps],
                # Also after a failure: the results name the failed step and the reason.
                "finally": [_command("aws", "s3", "cp", "--recursive", "--only-show-errors", "--region",
                                     machine.region, _FOLDER) + f' "${RESULTS}"'],
            },
        },
    }  # fmt: skip
    return json.dumps(document, indent=2) + "\n"


def _preparation(machine: CodeBuildMachine) -> Iterable[str]:
    yield f"tar --extract --preserve-permissions --file={CONTEXTS}"
    yield f"mkdir -p {_FOLDER}"
    for host, region in machine.logins.items():
        token = _command("aws", "ecr", "get-login-password", "--region", region)
        login = _command("docker", "login", "--username", "AWS", "--password-stdin", host)
        yield f"{token} | {login}"
    for host in machine.public:
        token = _command("aws", "ecr-public", "get-login-password", "--region", ECR_PUBLIC_REGION)
        login = _command("docker", "login", "--username", "AWS", "--password-stdin", host)
        yield f"{{ {token} | {login}; }} > /dev/null 2>&1 || true"
    if machine.buildkit:
        image = f"image={machine.buildkit}"
        driver = ("--driver", "docker-container", "--driver-opt", image)
        yield _command("docker", "buildx", "create", "--name", _BUILDER, *driver, "--use", "--bootstrap")
    for number in range(1, len(machine.secrets) + 1):
        variable, file = _SECRET.format(number), secret_file(number)
        yield f"(umask 077 && mkdir -p {_SECRETS} && printf '%s' \"${variable}\" > {file}); unset {variable}"


def _secret_sources(machine: CodeBuildMachine) -> Mapping[str, Mapping[str, str]]:
    """Return store -> variable -> secret. CodeBuild sets the variables and masks their values in its log."""
    stores: dict[str, dict[str, str]] = {}
    for number, location in enumerate(machine.secrets.values(), start=1):
        store = "parameter-store" if location.startswith(PARAMETER) else "secrets-manager"
        stores.setdefault(store, {})[_SECRET.format(number)] = location.removeprefix(PARAMETER)
    return stores


def _bake(step: BuildspecStep) -> str:
    """Return a step's commands as one. The digest of an earlier step's base image is read from its tag."""
    # The digest is the sha256 of the manifest; the output of `--format` varies by version.
    inspect = ("docker", "buildx", "imagetools", "inspect", "--raw")
    digests = [
        f'{name}="sha256:$({_command(*inspect, ref)} | sha256sum | cut -c-64)" && export {name}'
        for number, ref in step.bases.items()
        for name in (_BASE.format(number),)
    ]
    bake = _command(
        *("docker", "buildx", "bake", f"--file={step.bake_file}", "--progress=rawjson"),
        f"--metadata-file={_FOLDER}/{metadata_file(step.number)}",
    )
    return "\n".join(
        (
            "set -o pipefail",
            "unset SOURCE_DATE_EPOCH",  # buildx would pass it as a build argument outside the fingerprint
            f"echo 'lamina: step {step.number}'",
            " &&\n".join((*digests, f"{bake} 2>&1 | tee {_FOLDER}/{events_file(step.number)}")),
        )
    )


def _command(*words: str) -> str:
    return shlex.join(words)


@dataclass(frozen=True, slots=True, kw_only=True)
class BundleEntry:
    """A file in a source. sha256: of its content."""

    name: str
    sha256: str


def source_key(entries: Iterable[BundleEntry]) -> str:
    """Return the key of a source. It depends on the files alone, not on how they are packed."""
    listing = "".join(
        f"{entry.sha256} {entry.name}\n" for entry in sorted(entries, key=lambda each: each.name)
    )
    return f"{SOURCES}/{hashlib.sha256(listing.encode()).hexdigest()}.zip"


def results_prefix(run: str) -> str:
    """Return the prefix of a run's results."""
    return f"{RETURNS}/{run}/"
