"""Lambda functions that run images: what each runs, and how that is changed. boto3 does the talking."""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any, TypeVar

from lamina.aws.answers import Fate, fate_of, may_pass
from lamina.aws.clients import INVOKING, Clients
from lamina.aws.errors import aws_errors
from lamina.aws.live import LATEST, Alias, Allocation, Live, alias_of, live_of
from lamina.errors import AwsError, LaminaError

_NO_PULL = re.compile(r"permission to access the (?:ECR|specified) image")
_FIRST_PAUSE, _LONGEST_PAUSE, _GROWTH = 0.25, 2.0, 1.5  # seconds between two looks
_MOST_MISSES = 3
"""Looks in a row that may fail, and throttled calls, before that is told."""
_Answer = TypeVar("_Answer")


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
                return live_of(client.get_function(FunctionName=function, **qualifier))
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
        return {each["Name"]: alias_of(each) for each in told}

    def with_allocation(self, function: str, alias: Alias) -> Alias:
        """An alias with how its provisioned concurrency is doing, if it leaves calls to further versions."""
        return replace(alias, allocation=self.allocation(function, alias.name)) if alias.routes else alias

    def allocation(self, function: str, alias: str) -> Allocation | None:
        """How provisioned concurrency of an alias is doing; None where it has none."""
        with aws_errors(function, service="lambda"):
            client = self._clients("lambda")
            try:
                told = client.get_provisioned_concurrency_config(FunctionName=function, Qualifier=alias)
            except client.exceptions.ProvisionedConcurrencyConfigNotFoundException:
                return None
        return Allocation(
            status=str(told.get("Status")), reason=str(told.get("StatusReason") or "Lambda gives no reason")
        )

    def update_image(self, function: str, uri: str, live: Live, *, until: float) -> Live:
        """Let it run an image, named by digest, and wait for that. until: of the clock.

        Raises AwsError when somebody else changed the function since ``live`` was read, or did so since.
        """
        wanted = uri.rpartition("@")[2]

        def ask(client: Any, live: Live) -> None:
            client.update_function_code(FunctionName=function, ImageUri=uri, **_revision(live))

        try:
            now = self._change(ask, lambda now: now.digest == wanted, function, live, until)
        except AwsError as error:
            raise _naming_the_policy(error, uri) from error
        if now.digest not in {None, wanted}:
            raise _changed(function)
        return now

    def update_command(self, function: str, command: tuple[str, ...], live: Live, *, until: float) -> Live:
        """Let it run a command instead of the image's CMD, and wait for that; see `update_image`.

        Lambda replaces all that takes the place of the image's own, so the rest is sent as it is.
        """

        def ask(client: Any, live: Live) -> None:
            entry = {"EntryPoint": list(live.entry_point)} if live.entry_point else {}
            directory = {"WorkingDirectory": live.directory} if live.directory else {}
            config = {"Command": list(command), **entry, **directory}
            client.update_function_configuration(FunctionName=function, ImageConfig=config, **_revision(live))

        now = self._change(ask, lambda now: now.command == command, function, live, until)
        if now.command != command:
            raise _changed(function)
        return now

    def settled(self, function: str, version: str = LATEST, *, until: float) -> Live:
        """Wait while an update is under way. Raises AwsError when it failed or takes too long."""
        return _succeeded(self.at_rest(function, version, until=until), function)

    def at_rest(self, function: str, version: str = LATEST, *, until: float) -> Live:
        """Wait while an update is under way, however it ends. Looks that fail are made again, a few times."""
        pause, misses = _FIRST_PAUSE, 0
        while True:
            try:
                live = self.read(function, version)
                misses = 0
            except LaminaError as error:
                misses += 1
                if misses == _MOST_MISSES or not may_pass(error):
                    raise
            else:
                if live is None:
                    raise AwsError.of(f"the function {function} is gone", where="AWS GetFunction")
                if live.update != "InProgress" and live.state != "Pending":
                    return live
            if self._clock() >= until:
                raise AwsError.of(
                    f"the function {function} is still being updated",
                    where="AWS GetFunction",
                    hint="give it more time: --timeout, or look: invoke status",
                )
            self._sleep(pause)
            pause = min(pause * _GROWTH, _LONGEST_PAUSE)

    def publish(self, function: str, live: Live, *, until: float) -> str:
        """Make a version of what the function is now, and wait for it; see `settled`.

        Unchanged since the last one, it is that one, which may sleep since nobody calls it: so it is asked
        for again when its answer was lost.
        """
        known = live

        def ask(client: Any) -> str:
            return str(client.publish_version(FunctionName=function, **_revision(known))["Version"])

        def look(fate: Fate) -> None:
            nonlocal known
            now = self.at_rest(function, until=until)
            moved = fate == "outdated" and now.modified != known.modified
            if moved or (now.digest, now.command) != (live.digest, live.command):
                raise _changed(function)
            known = now

        version = self._ask(ask, look, function, until)
        self.settled(function, version, until=until)
        return version

    def point(
        self,
        function: str,
        name: str,
        version: str,
        known: Alias | None,
        routes: Mapping[str, float] | None = None,
        *,
        until: float,
    ) -> Alias:
        """Point an alias at a version, and at no other but those of ``routes``; what it is then.

        known: the alias as it was read, None to make it. Raises AwsError when somebody else moved it since.
        """
        named = {"FunctionName": function, "Name": name, "FunctionVersion": version}

        def ask(client: Any) -> Alias:
            if known is None:
                told = client.create_alias(**named)
            else:
                weights = {"AdditionalVersionWeights": dict(routes or {})}
                told = client.update_alias(**named, RoutingConfig=weights, **_revision(known))
            return alias_of(told)

        def look(fate: Fate) -> Alias | None:
            now = self.aliases(function).get(name)
            moves = known is None or known.version != version
            if now and now.version == version and (moves or dict(now.routes) == dict(routes or {})):
                return now
            theirs = now is not None and (known is None or known.revision not in {None, now.revision})
            if theirs or fate == "outdated":
                raise AwsError.of(
                    f"somebody else moved {name} of {function} meanwhile"
                    + (f", to version {now.version}" if now else ""),
                    where="AWS Lambda",
                    hint="look what it names: invoke status; then run it again",
                )
            return None

        return self._ask(ask, look, function, until)

    def allocated(self, function: str, alias: str, *, until: float) -> Allocation | None:
        """Wait while provisioned concurrency is made for an alias that moved, however that ends."""
        while True:
            found = self.allocation(function, alias)
            if found is None or not found.under_way or self._clock() >= until:
                return found
            self._sleep(_LONGEST_PAUSE)

    def drop_alias(self, function: str, name: str, *, until: float) -> None:
        """Remove an alias that was made by mistake; an absent one is success."""

        def ask(client: Any) -> bool:
            client.delete_alias(FunctionName=function, Name=name)
            return True

        self._ask(ask, lambda _: None if name in self.aliases(function) else True, function, until)

    def invoke(self, function: str, version: str, event: bytes, *, until: float) -> tuple[str | None, str]:
        """Call a version with an event: the kind of its error, if it failed, and what it answered.

        One that sleeps is woken by a call that Lambda refuses, waited for and called again. What may have
        run is never called twice.
        """
        tries, pause = 0, _FIRST_PAUSE
        with aws_errors(function, service="lambda"):
            client = self._clients(INVOKING)
            while True:
                try:
                    answer = client.invoke(FunctionName=function, Qualifier=version, Payload=event)
                    return answer.get("FunctionError"), answer["Payload"].read().decode("utf-8", "replace")
                except Exception as error:
                    tries += 1
                    fate = fate_of(error)
                    patient = tries < _MOST_MISSES if fate == "throttled" else fate in {"asleep", "conflict"}
                    if not patient or self._clock() >= until:
                        raise
                self._sleep(pause)
                pause = min(pause * _GROWTH, _LONGEST_PAUSE)
                self._woken(function, version, until)

    def _woken(self, function: str, version: str, until: float) -> None:
        """Wait while Lambda makes a version ready that had been idle."""
        live = self.settled(function, version, until=until)
        if live.state == "Inactive" and live.cause not in {"", "Idle", "Restoring"}:
            raise AwsError.of(
                f"version {version} of {function} was idle and cannot be made ready: {live.reason}",
                where="AWS GetFunction",
                hint="mend that and deploy again",
            )

    def _change(
        self,
        ask: Callable[[Any, Live], None],
        done: Callable[[Live], bool],
        function: str,
        live: Live,
        until: float,
    ) -> Live:
        """Ask for a change and wait for it. done: whether a function is as it was asked for."""
        known = live

        def asked(client: Any) -> Live:
            ask(client, known)
            return self.settled(function, until=until)

        def look(fate: Fate) -> Live | None:
            nonlocal known
            now = self.at_rest(function, until=until)
            if done(now) and now.update != "Failed":
                return now
            if fate == "outdated" and now.update == "Failed":
                return _succeeded(now, function)
            if fate == "outdated" or (now.digest, now.command) != (live.digest, live.command):
                raise _changed(function)
            known = now
            return None

        return self._ask(asked, look, function, until)

    def _ask(
        self,
        ask: Callable[[Any], _Answer],
        look: Callable[[Fate], _Answer | None],
        function: str,
        until: float,
    ) -> _Answer:
        """Ask for a change; while another one is under way, again.

        look: told the fate of a request that may have been done, or may be made again, it finds what was
        asked for, None where that is not there, and raises AwsError where somebody else was faster.
        """
        with aws_errors(function, service="lambda"):
            client = self._clients("lambda")
            while True:
                try:
                    return ask(client)
                except Exception as error:
                    fate = fate_of(error)
                    if fate == "refused":
                        raise
                    if fate == "conflict" and self._clock() < until:
                        self._sleep(_LONGEST_PAUSE)
                    if (found := look(fate)) is not None:
                        return found
                    if fate not in {"conflict", "outdated"} or self._clock() >= until:
                        raise


def _succeeded(live: Live, function: str) -> Live:
    if "Failed" in {live.update, live.state}:
        raise AwsError.of(f"the update of {function} failed: {live.reason}", where="AWS GetFunction")
    return live


def _revision(known: Live | Alias) -> Mapping[str, str]:
    """What makes Lambda refuse a change of what somebody else has changed since."""
    return {"RevisionId": known.revision} if known.revision else {}


def _changed(function: str) -> AwsError:
    return AwsError.of(
        f"somebody else changed {function} meanwhile",
        where="AWS Lambda",
        hint="look what it runs: invoke status; then run it again",
    )


def _naming_the_policy(error: AwsError, uri: str) -> AwsError:
    """Where Lambda may not pull an image, who has to let it; any other error as it is."""
    if not any(_NO_PULL.search(str(each)) for each in error.problems):
        return error
    repository = uri.partition("@")[0].partition("/")[2]
    return AwsError.of(
        f"Lambda may not pull {uri}: the policy of the repository {repository} does not let it",
        where=error.problems[0].where,
        allowed="lambda.amazonaws.com with ecr:BatchGetImage and ecr:GetDownloadUrlForLayer in that policy",
        hint="invoke ecr.setup writes that policy; for functions of another account name it in readers first",
    )
