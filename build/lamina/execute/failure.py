"""Explain failed images from the trace of their build: the step, its line, the end of its log. Pure."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterator, Mapping
from dataclasses import replace
from itertools import groupby

from lamina.errors import BuildError, LaminaError, Problem, RegistryError
from lamina.execute.bake import BuildRequest, target_name
from lamina.execute.outcome import Result
from lamina.execute.progress import BakeStep, Trace
from lamina.execute.step_line import step_line
from lamina.identify.image import Image

_DOCKERFILE_LINE = re.compile(r"^(?:\S*/)?Dockerfile:(\d+)$")
_TARGET = re.compile(r"^ERROR: target (\S+?):")
# containerd: another run stored the same image in the engine at the same time. buildx: the engine was too
# busy to accept a build's connection in time.
_RACES = re.compile(r": already exists$|\blocked for .*: unavailable$|: no such job \w+$")
_MOST_RACES = 4
# containerd collected garbage during a build: a snapshot that the build needs is gone. When unpacking:
# https://github.com/moby/buildkit/issues/6521 (fixed in BuildKit 0.29); when committing:
# https://github.com/moby/buildkit/pull/6808; of a lower layer: https://github.com/moby/buildkit/issues/6977.
# Retried once: if it fails again, the builder's state is damaged (https://github.com/moby/buildkit/issues/4024).
_COLLECTED = re.compile(r"\bsnapshot \S+(?: sha256:\w+)? does not exist: not found$", re.MULTILINE)
# dockerd restarts a containerd that died, and BuildKit connects to it again: that takes up to half a minute.
_RECONNECTS = re.compile(r"\bdial unix \S*containerd\.sock: connect: connection refused")
_MOST_RECONNECTS = 8
# How registries reject credentials; ECR also when a token has expired.
_REFUSED = re.compile(
    r"\b401 Unauthorized\b|\b403 Forbidden\b|no basic auth credentials|authorization token has expired"
    r"|authorization failed|failed to authorize|authentication required",
    re.IGNORECASE,
)
# How BuildKit reports that a registry refused a push or a request; not that its own engine went away.
_REGISTRY = re.compile(
    r"\bfailed to push \S+: (?!.*(?:\berror reading from server\b|\.sock\b))"
    r"|\bunexpected status from (?:GET|HEAD|POST|PUT|PATCH) request to "
)
_IMMUTABLE = re.compile(r"cannot be overwritten because the (?:tag|repository) is immutable", re.IGNORECASE)
_LOOPBACK = re.compile(r"\bdial tcp (?:127\.[\d.]+|\[::1\]):\d+: connect: connection refused")
_OWN_LOOPBACK = (
    "start the registry; if it runs, the builder is in a container and has a loopback of its own: "
    "docker buildx create --name near --driver docker-container --driver-opt network=host, "
    "then --builder near"
)
# How pip, uv, curl and Node.js report a certificate of an authority that they do not know.
_UNTRUSTED = re.compile(
    r"CERTIFICATE_VERIFY_FAILED|invalid peer certificate: UnknownIssuer|SELF_SIGNED_CERT_IN_CHAIN"
    r"|SSL certificate problem: (?:self.signed|unable to get local issuer)"
)
_CA = (
    "if a proxy inspects TLS here, give the step a bundle that has its CA, as a build secret: "
    'ca = { file = "/etc/ssl/certs/ca-certificates.crt" } below [tool.lamina.secrets], and '
    "RUN --mount=type=secret,id=ca PIP_CERT=/run/secrets/ca SSL_CERT_FILE=/run/secrets/ca pip install ... "
    "(uv reads SSL_CERT_FILE as well); see A proxy that inspects TLS in docs/security.md"
)
_SOLVE = "failed to solve: "
_PROCESS = "did not complete successfully: "  # BuildKit repeats the whole command before it
_SCANNER = (
    "set sbom-generator (--sbom-generator) to an image that can be pulled here and speaks BuildKit's "
    "protocol, https://github.com/moby/buildkit/blob/master/docs/attestations/sbom-protocol.md; "
    "or build without --sbom"
)
_LOG_LINES = 15
_LONG = 80
_DIGITS = re.compile(r"\d+")
_ALIKE = 0.5


def broken_images(request: BuildRequest, trace: Trace) -> Mapping[str, str]:
    """Return the images that failed -> the failed step or target. Cancelled images are left out."""
    found: dict[str, str] = {}
    for step in trace.steps:
        if _is_culprit(step):
            found.setdefault(step.image, step.name)
    names = {target_name(image.name): image.name for image in request.images}
    for line in trace.messages:
        match = _TARGET.match(line)
        if match and match.group(1) in names and not found:
            found[names[match.group(1)]] = line.removeprefix("ERROR: ")
        elif line.startswith(f"ERROR: {_SOLVE}") and len(names) == 1 and not found:
            # buildx does not name the only target
            found[request.images[0].name] = f"target {next(iter(names))}: {line.removeprefix('ERROR: ')}"
    return found


def tries_again(image: str, what: str, trace: Trace) -> int:
    """Return how often to retry a failed image: more than 0 only for known temporary errors.

    what: the failed step, from `broken_images`.
    """
    errors = _errors(image, what, trace)
    if reconnects(image, what, trace):
        return _MOST_RECONNECTS
    if all(_RACES.search(error) for error in errors):
        return _MOST_RACES
    return int(all(_RACES.search(error) or _COLLECTED.search(error) for error in errors))


def reconnects(image: str, what: str, trace: Trace) -> bool:
    """Whether an image failed because BuildKit lost containerd for a while. what: from `broken_images`."""
    return all(_RECONNECTS.search(error) for error in _errors(image, what, trace))


def first_error(image: str, what: str, trace: Trace) -> str:
    """Return the error of a failed image in one line. what: from `broken_images`."""
    return _errors(image, what, trace)[0].splitlines()[0]


def is_refused(image: str, what: str, trace: Trace) -> bool:
    """Whether an image failed because a registry rejected credentials. what: from `broken_images`."""
    return any(_REFUSED.search(error) for error in _errors(image, what, trace))


def kind_of(broken: Mapping[str, str], trace: Trace) -> type[LaminaError]:
    """Return the error class: RegistryError if a registry caused part of each failure, else BuildError."""
    blamed = all(
        _REGISTRY.search(each) for name, what in broken.items() for each in _errors(name, what, trace)
    )
    return RegistryError if broken and blamed else BuildError


def _errors(image: str, what: str, trace: Trace) -> list[str]:
    return [step.error or "" for step in trace.of(image) if _is_culprit(step)] or [what]


def explain(request: BuildRequest, trace: Trace, broken: Mapping[str, str], error: str) -> Iterator[Problem]:
    """Yield a problem for each broken image. error: the output of bake, for failures of no single image."""
    if not broken:
        yield Problem(what=f"the build failed:\n{_tail(error.splitlines())}", hint="see the run's events")
    # buildx prints the line of the first failure only.
    lines = [found.group(1) for line in trace.messages if (found := _DOCKERFILE_LINE.match(line.strip()))]
    for image in request.images:
        if image.name in broken:
            reported = lines[0] if lines and len(broken) == 1 else None
            problem = _problem(
                image, [step for step in trace.of(image.name) if _is_culprit(step)], broken, reported
            )
            scans = request.attestations.sbom and request.attestations.scanner in broken[image.name]
            yield replace(problem, where="--sbom", hint=_SCANNER) if scans else problem


def lost_result(request: BuildRequest, name: str, trace: Trace, what: str) -> Result:
    """Return the result of a failed image with a short reason. `explain` has the whole error.

    what: from `broken_images`.
    """
    image = next(each for each in request.images if each.name == name)
    errors = [step.error.splitlines()[0] for step in trace.of(name) if step.error and not step.optional]
    reason = errors[0].rpartition(_PROCESS)[2] if errors else what.rpartition(_SOLVE)[2]
    return Result(image=image, status="failed", reasons=(reason,))


def _problem(image: Image, steps: list[BakeStep], broken: Mapping[str, str], reported: str | None) -> Problem:
    failed = broken[image.name]
    parts = [f"{image.name} failed at {step_line(failed) if steps else failed}"]
    parts += [f"  {(step.error or '').rpartition(_PROCESS)[2]}" for step in steps[:1]]
    log = [line for step in steps for line in step.log]
    if log:
        parts.append(_tail(log))
    line = reported or _line(image, broken[image.name])
    path = image.node.spec.dockerfile_path
    hint = _advice(log)
    if any(_IMMUTABLE.search(part) for part in parts):
        hint = (
            f"{image.ref} names another image for good: build without --force and --refresh to use it, or "
            "delete it first"
        )
    elif any(_LOOPBACK.search(part) for part in parts):
        hint = _OWN_LOOPBACK
    elif any(map(_UNTRUSTED.search, log)):
        hint = _CA
    return Problem(what="\n".join(parts), where=f"{path}:{line}" if line else path, hint=hint)


def _advice(log: list[str]) -> str | None:
    """Return the next step of the rule that a step's last lines show; None if no rule is about them."""
    from lamina.preflight.check import matching

    rule = matching(log[-_LOG_LINES:], build=True)
    return rule.next_step if rule else None


def _line(image: Image, step: str) -> int | None:
    """Return the line of the instruction closest to a step's name, in which variables are expanded."""
    text = step.partition("] ")[2]
    lines = {
        " ".join((each.name, *each.flags, *each.words)): each.line
        for stage in image.node.recipe.dockerfile.stages
        for each in stage.instructions
        if text.startswith(each.name)
    }
    alike = difflib.get_close_matches(text, lines, n=1, cutoff=_ALIKE)
    return lines[alike[0]] if alike else None


def _is_culprit(step: BakeStep) -> bool:
    return step.error is not None and not step.cancelled and not step.optional


def _tail(lines: list[str]) -> str:
    return "\n".join(f"  | {line}" for line in _folded(lines[-_LOG_LINES:]))


def _folded(lines: list[str]) -> Iterator[str]:
    """Yield lines; of long ones that differ in numbers alone, as those of retries, only the last."""
    kinds = {number: _DIGITS.sub("0", line) for number, line in enumerate(lines) if len(line) > _LONG}
    for _, numbers in groupby(range(len(lines)), key=lambda number: kinds.get(number, number)):
        *others, last = numbers
        yield f"{lines[last]} (and {len(others)} alike)" if others else lines[last]
