"""Lambda functions that run images: what each runs, and how that is changed. boto3 does the talking."""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from lamina.errors import AwsError
from lamina.registries.aws_clients import INVOKING, Clients
from lamina.registries.aws_errors import aws_errors

LATEST = "$LATEST"
IMAGE = "Image"
_DIGEST = re.compile(r"@(sha256:[0-9a-f]{64})$")
_FIRST_PAUSE, _LONGEST_PAUSE, _GROWTH = 0.25, 2.0, 1.5  # seconds between two looks


@dataclass(frozen=True, slots=True, kw_only=True)
class Live:
    """A function as Lambda tells of it, or a version of it.

    package: ``Image`` or ``Zip``. digest: of the image in use, None for a zip file or where Lambda does not
    say. command: what the function runs instead of the image's CMD. architecture: ``x86_64``, ``arm64``.
    state: ``Active``, ``Inactive``, ``Pending``, ``Failed``; update: ``Successful``, ``InProgress``,
    ``Failed``; reason: of whichever failed. revision: of its configuration, changed by every update.
    """

    name: str
    version: str
    package: str
    digest: str | None
    command: tuple[str, ...]
    architecture: str
    state: str
    update: str
    reason: str
    revision: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Alias:
    """A name for a version. routes: further versions -> the share of the calls that they get, 0 to 1."""

    name: str
    version: str
    revision: str | None
    routes: Mapping[str, float] = field(default_factory=dict)


class Functions:
    """The functions of an account in one region. Failures are AwsError; a function is named as declared.

    sleep, clock: of waiting, in seconds.
    """

    def __init__(
        self,
        clients: Clients,
        *,
        sleep: Callable[[float], None] = time.sleep,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._clients = clients
        self._sleep = sleep
        self._clock = clock

    def read(self, function: str, version: str = LATEST) -> Live | None:
        """A function, at a version or an alias; None when there is none."""
        qualifier = {} if version == LATEST else {"Qualifier": version}
        with aws_errors(function, service="lambda"):
            client = self._clients("lambda")
            try:
                return _live(client.get_function(FunctionName=function, **qualifier))
            except client.exceptions.ResourceNotFoundException:
                return None

    def versions(self, function: str) -> tuple[str, ...]:
        """The published versions, oldest first."""
        with aws_errors(function, service="lambda"):
            pages = self._clients("lambda").get_paginator("list_versions_by_function")
            told = [
                each["Version"] for page in pages.paginate(FunctionName=function) for each in page["Versions"]
            ]
        return tuple(version for version in told if version != LATEST)

    def aliases(self, function: str) -> Mapping[str, Alias]:
        """The aliases by name."""
        with aws_errors(function, service="lambda"):
            pages = self._clients("lambda").get_paginator("list_aliases")
            told = [each for page in pages.paginate(FunctionName=function) for each in page["Aliases"]]
        return {each["Name"]: _alias(each) for each in told}

    def update_image(self, function: str, uri: str, live: Live, *, until: float) -> Live:
        """Let it run an image, named by digest, and wait for that. until: of the clock.

        Raises AwsError when somebody else changed the function since ``live`` was read, or did so since.
        """

        def ask(client: Any, **revision: str) -> None:
            client.update_function_code(FunctionName=function, ImageUri=uri, **revision)

        self._change(ask, function, live, until)
        now = self.settled(function, until=until)
        if now.digest not in {None, uri.rpartition("@")[2]}:
            raise _changed(function)
        return now

    def update_command(self, function: str, command: tuple[str, ...], live: Live, *, until: float) -> Live:
        """Let it run a command instead of the image's CMD, and wait for that; see `update_image`."""
        change = {"ImageConfig": {"Command": list(command)}}

        def ask(client: Any, **revision: str) -> None:
            client.update_function_configuration(FunctionName=function, **change, **revision)

        self._change(ask, function, live, until)
        now = self.settled(function, until=until)
        if now.command != command:
            raise _changed(function)
        return now

    def settled(self, function: str, version: str = LATEST, *, until: float) -> Live:
        """Wait while an update is under way. Raises AwsError when it failed or takes too long."""
        pause = _FIRST_PAUSE
        while True:
            live = self.read(function, version)
            if live is None:
                raise AwsError.of(f"the function {function} is gone", where="AWS GetFunction")
            if live.update != "InProgress" and live.state != "Pending":
                break
            if self._clock() >= until:
                raise AwsError.of(
                    f"the function {function} is still being updated",
                    where="AWS GetFunction",
                    hint="give it more time: --timeout, or look: invoke status",
                )
            self._sleep(pause)
            pause = min(pause * _GROWTH, _LONGEST_PAUSE)
        if "Failed" in {live.update, live.state}:
            raise AwsError.of(f"the update of {function} failed: {live.reason}", where="AWS GetFunction")
        return live

    def publish(self, function: str, live: Live, *, until: float) -> str:
        """Make a version of what the function is now, and wait for it; see `settled`.

        Unchanged since the last one, it is that one, which may sleep since nobody calls it.
        """
        revision = {"RevisionId": live.revision} if live.revision else {}
        with aws_errors(function, service="lambda"):
            client = self._clients("lambda")
            version = str(client.publish_version(FunctionName=function, **revision)["Version"])
        self.settled(function, version, until=until)
        return version

    def point(
        self,
        function: str,
        name: str,
        version: str,
        known: Alias | None,
        routes: Mapping[str, float] | None = None,
    ) -> None:
        """Point an alias at a version, and at no other but those of ``routes``.

        known: the alias as it was read, None to make it. Raises AwsError when somebody else moved it since.
        """
        with aws_errors(function, service="lambda"):
            client = self._clients("lambda")
            if known is None:
                client.create_alias(FunctionName=function, Name=name, FunctionVersion=version)
            else:
                revision = {"RevisionId": known.revision} if known.revision else {}
                weights = {"AdditionalVersionWeights": dict(routes or {})}
                client.update_alias(
                    FunctionName=function,
                    Name=name,
                    FunctionVersion=version,
                    RoutingConfig=weights,
                    **revision,
                )

    def drop_alias(self, function: str, name: str) -> None:
        """Remove an alias that was made by mistake; an absent one is success."""
        with aws_errors(function, service="lambda"):
            self._clients("lambda").delete_alias(FunctionName=function, Name=name)

    def invoke(self, function: str, version: str, event: bytes) -> tuple[str | None, str]:
        """Call a version with an event: the kind of its error, if it failed, and what it answered."""
        with aws_errors(function, service="lambda"):
            client = self._clients(INVOKING)
            answer = client.invoke(FunctionName=function, Qualifier=version, Payload=event)
            return answer.get("FunctionError"), answer["Payload"].read().decode("utf-8", "replace")

    def _change(self, ask: Callable[..., None], function: str, live: Live, until: float) -> None:
        """Ask for a change; while another one is under way, ask again."""
        revision = {"RevisionId": live.revision} if live.revision else {}
        with aws_errors(function, service="lambda"):
            client = self._clients("lambda")
            while True:
                try:
                    ask(client, **revision)
                    return
                except client.exceptions.PreconditionFailedException:
                    raise _changed(function) from None
                except client.exceptions.ResourceConflictException:
                    if self._clock() >= until:
                        raise
                    self._sleep(_LONGEST_PAUSE)
                now = self.settled(function, until=until)
                if (now.digest, now.command) != (live.digest, live.command):
                    raise _changed(function)
                revision = {"RevisionId": now.revision} if now.revision else {}


def _changed(function: str) -> AwsError:
    return AwsError.of(
        f"somebody else changed {function} meanwhile",
        where="AWS Lambda",
        hint="look what it runs: invoke status; then run it again",
    )


def image_digest(code: Mapping[str, Any]) -> str | None:
    """The digest of the image in use, out of ``Code`` of GetFunction; None where Lambda does not say."""
    found = _DIGEST.search(code.get("ResolvedImageUri") or "") or _DIGEST.search(code.get("ImageUri") or "")
    return found[1] if found else None


def _live(told: Mapping[str, Any]) -> Live:
    settings = told["Configuration"]
    image = (settings.get("ImageConfigResponse") or {}).get("ImageConfig") or {}
    reasons = (settings.get("LastUpdateStatusReason"), settings.get("StateReason"))
    return Live(
        name=str(settings["FunctionName"]),
        version=str(settings.get("Version", LATEST)),
        package=str(settings.get("PackageType", "Zip")),
        digest=image_digest(told.get("Code", {})),
        command=tuple(image.get("Command") or ()),
        architecture=next(iter(settings.get("Architectures") or ()), "x86_64"),
        state=str(settings.get("State", "Active")),
        update=str(settings.get("LastUpdateStatus", "Successful")),
        reason=next((str(each) for each in reasons if each), "Lambda gives no reason"),
        revision=settings.get("RevisionId"),
    )


def _alias(told: Mapping[str, Any]) -> Alias:
    routes = (told.get("RoutingConfig") or {}).get("AdditionalVersionWeights") or {}
    return Alias(
        name=str(told["Name"]),
        version=str(told["FunctionVersion"]),
        revision=told.get("RevisionId"),
        routes=dict(routes),
    )
