"""Lambda functions that run images: read and update them through boto3."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, TypeVar

from lamina.aws.answers import Fate, fate_of, may_pass, naming_the_policy
from lamina.aws.clients import INVOKING, Clients
from lamina.aws.errors import aws_errors
from lamina.aws.lambda_parameters import AliasOfVersion, Described, revision
from lamina.aws.live import LATEST, Alias, Allocation, Live, alias_of, live_of
from lamina.errors import AwsError, LaminaError

if TYPE_CHECKING:
    from mypy_boto3_lambda import LambdaClient
    from mypy_boto3_lambda.literals import SnapStartApplyOnType
    from mypy_boto3_lambda.type_defs import AliasRoutingConfigurationTypeDef, ImageConfigTypeDef

_FIRST_PAUSE, _LONGEST_PAUSE, _GROWTH = 0.25, 2.0, 1.5  # seconds between two reads
_MOST_MISSES = 3
"""Failed reads in a row, or throttled invocations, after which the error is raised."""
_Answer = TypeVar("_Answer")


class Functions:
    """The functions of an account in one region. Failures raise AwsError.

    Functions are named as declared. sleep, clock: in seconds. ``until`` of methods: a deadline of the clock.
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

    @property
    def clients(self) -> Clients:
        """Those of the functions' account and region."""
        return self._clients

    def read(self, function: str, version: str = LATEST) -> Live | None:
        """Return a function at a version or alias; None when it does not exist."""
        qualifier = {} if version == LATEST else {"Qualifier": version}
        with aws_errors(function, service="lambda"):
            client = self._clients("lambda")
            try:
                return live_of(client.get_function(FunctionName=function, **qualifier))
            except client.exceptions.ResourceNotFoundException:
                return None

    def versions(self, function: str) -> tuple[str, ...]:
        """Return the published versions, oldest first."""
        with aws_errors(function, service="lambda"):
            pages = self._clients("lambda").get_paginator("list_versions_by_function")
            listed = [
                each["Version"] for page in pages.paginate(FunctionName=function) for each in page["Versions"]
            ]
        return tuple(version for version in listed if version != LATEST)

    def aliases(self, function: str) -> Mapping[str, Alias]:
        """Return the aliases by name."""
        with aws_errors(function, service="lambda"):
            pages = self._clients("lambda").get_paginator("list_aliases")
            listed = [each for page in pages.paginate(FunctionName=function) for each in page["Aliases"]]
        return {each["Name"]: alias_of(each) for each in listed}

    def with_allocation(self, function: str, alias: Alias) -> Alias:
        """Return the alias, with the state of its provisioned concurrency if it has further routes."""
        return replace(alias, allocation=self.allocation(function, alias.name)) if alias.routes else alias

    def allocation(self, function: str, alias: str) -> Allocation | None:
        """Return the state of an alias' provisioned concurrency; None when it has none."""
        with aws_errors(function, service="lambda"):
            client = self._clients("lambda")
            try:
                answer = client.get_provisioned_concurrency_config(FunctionName=function, Qualifier=alias)
            except client.exceptions.ProvisionedConcurrencyConfigNotFoundException:
                return None
        return Allocation(
            status=str(answer.get("Status")),
            reason=str(answer.get("StatusReason") or "Lambda gives no reason"),
        )

    def update_image(self, function: str, uri: str, live: Live, *, until: float) -> Live:
        """Update the function to an image, named by digest, and wait until the update is done.

        Raises AwsError when another client changed the function after ``live`` was read.
        """
        wanted = uri.rpartition("@")[2]

        def ask(client: LambdaClient, live: Live) -> None:
            client.update_function_code(FunctionName=function, ImageUri=uri, **revision(live))

        try:
            now = self._change(ask, lambda now: now.digest == wanted, function, live, until)
        except AwsError as error:
            raise naming_the_policy(error, uri) from error
        if now.digest not in {None, wanted}:
            raise _changed(function)
        return now

    def update_command(self, function: str, command: tuple[str, ...], live: Live, *, until: float) -> Live:
        """Override the image's CMD and wait until the update is done; see `update_image`.

        Lambda replaces all overrides of the image's configuration at once, so the others are sent unchanged.
        """

        def ask(client: LambdaClient, live: Live) -> None:
            config: ImageConfigTypeDef = {"Command": list(command)}
            if live.entry_point:
                config["EntryPoint"] = list(live.entry_point)
            if live.directory:
                config["WorkingDirectory"] = live.directory
            client.update_function_configuration(FunctionName=function, ImageConfig=config, **revision(live))

        now = self._change(ask, lambda now: now.command == command, function, live, until)
        if now.command != command:
            raise _changed(function)
        return now

    def update_snap_start(self, function: str, on: bool, live: Live, *, until: float) -> Live:
        """Set whether Lambda makes snapshots of versions, and wait until that is done; see `update_image`."""

        def ask(client: LambdaClient, live: Live) -> None:
            applies: SnapStartApplyOnType = "PublishedVersions" if on else "None"
            client.update_function_configuration(
                FunctionName=function, SnapStart={"ApplyOn": applies}, **revision(live)
            )

        now = self._change(ask, lambda now: now.snap_start == on, function, live, until)
        if now.snap_start != on:
            raise _changed(function)
        return now

    def settled(self, function: str, version: str = LATEST, *, until: float) -> Live:
        """Wait until no update is in progress. Raises AwsError when the update failed or takes too long."""
        return _succeeded(self.at_rest(function, version, until=until), function)

    def at_rest(self, function: str, version: str = LATEST, *, until: float) -> Live:
        """Wait until no update is in progress, however it ended.

        Transient read errors are retried twice, and so is what Lambda does not know: a version that was just
        published may not be listed yet.
        """
        pause, misses = _FIRST_PAUSE, 0
        while True:
            try:
                live = self.read(function, version)
                misses = 0 if live else misses + 1
            except LaminaError as error:
                live, misses = None, misses + 1
                if misses == _MOST_MISSES or not may_pass(error):
                    raise
            if misses == _MOST_MISSES:
                raise AwsError.of(f"the function {function} is gone", where="AWS GetFunction")
            if live is not None and live.update != "InProgress" and live.state != "Pending":
                return live
            if self._clock() >= until:
                raise AwsError.of(
                    f"the function {function} is still being updated",
                    where="AWS GetFunction",
                    hint="give it more time: --timeout, or look: invoke status",
                )
            self._sleep(pause)
            pause = min(pause * _GROWTH, _LONGEST_PAUSE)

    def publish(self, function: str, live: Live, *, note: str = "", until: float) -> str:
        """Publish a version of the function as it is now, wait for it, and return its number; see `settled`.

        Publishing an unchanged function returns its last version, which may be inactive, so the request is
        safe to repeat. note: the description of a new version.
        """
        described: Described = {"Description": note} if note else {}
        known = live

        def ask(client: LambdaClient) -> str:
            answer = client.publish_version(FunctionName=function, **described, **revision(known))
            return str(answer["Version"])

        def check(fate: Fate) -> None:
            nonlocal known
            now = self.at_rest(function, until=until)
            moved = fate == "outdated" and now.modified != known.modified
            if moved or (now.digest, now.command) != (live.digest, live.command):
                raise _changed(function)
            known = now

        version = self._ask(ask, check, function, until)
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
        note: str | None = None,
        until: float,
    ) -> Alias:
        """Point an alias at a version and at those of ``routes``, and return the alias.

        Args:
            function: the function.
            name: the alias.
            version: the version to point at.
            known: the alias as it was read; None to create it.
            routes: further versions -> share of the calls, 0 to 1.
            note: its description; None leaves it as it is.
            until: deadline of the clock.

        Raises:
            AwsError: the call failed, or another client moved the alias after it was read.
        """
        named: AliasOfVersion = {"FunctionName": function, "Name": name, "FunctionVersion": version}
        described: Described = {} if note is None else {"Description": note}

        def ask(client: LambdaClient) -> Alias:
            if known is None:
                answer = client.create_alias(**named, **described)
            else:
                routing: AliasRoutingConfigurationTypeDef = {"AdditionalVersionWeights": dict(routes or {})}
                answer = client.update_alias(**named, **described, RoutingConfig=routing, **revision(known))
            return alias_of(answer)

        def check(fate: Fate) -> Alias | None:
            now = self.aliases(function).get(name)
            moves = known is None or known.version != version
            if now and now.version == version and (moves or dict(now.routes) == dict(routes or {})):
                return now
            theirs = now is not None and (known is None or known.revision not in {None, now.revision})
            if theirs or fate == "outdated":
                elsewhere = now and (known is None or now.version != known.version)
                raise AwsError.of(
                    f"the alias {name} of {function} was moved by another client meanwhile"
                    + (f", to version {now.version}" if now and elsewhere else ""),
                    where="AWS Lambda",
                    hint="see which version it names: invoke status; then run it again",
                )
            return None

        return self._ask(ask, check, function, until)

    def allocated(self, function: str, alias: str, *, until: float) -> Allocation | None:
        """Wait until provisioned concurrency for a moved alias is allocated, however that ends."""
        while True:
            found = self.allocation(function, alias)
            if found is None or not found.under_way or self._clock() >= until:
                return found
            self._sleep(_LONGEST_PAUSE)

    def drop_alias(self, function: str, name: str, *, until: float) -> None:
        """Delete an alias that was created by mistake; succeed when it does not exist."""

        def ask(client: LambdaClient) -> bool:
            client.delete_alias(FunctionName=function, Name=name)
            return True

        self._ask(ask, lambda _: None if name in self.aliases(function) else True, function, until)

    def invoke(self, function: str, version: str, event: bytes, *, until: float) -> tuple[str | None, str]:
        """Invoke a version with an event. Return the kind of its error, if it failed, and its response.

        An inactive version refuses the first call and becomes active; it is waited for and called again.
        A call that may have run is never repeated.
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
        """Wait until Lambda has restored an idle version."""
        live = self.settled(function, version, until=until)
        if live.state == "Inactive" and live.cause not in {"", "Idle", "Restoring"}:
            raise AwsError.of(
                f"version {version} of {function} was idle and cannot be made ready: {live.reason}",
                where="AWS GetFunction",
                hint="fix that and deploy again",
            )

    def _change(
        self,
        ask: Callable[[LambdaClient, Live], None],
        done: Callable[[Live], bool],
        function: str,
        live: Live,
        until: float,
    ) -> Live:
        """Request a change and wait for it. done: whether a function is as requested."""
        known = live

        def asked(client: LambdaClient) -> Live:
            ask(client, known)
            return _succeeded(self._after(known, done, function, until), function)

        def check(fate: Fate) -> Live | None:
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

        return self._ask(asked, check, function, until)

    def _after(self, known: Live, done: Callable[[Live], bool], function: str, until: float) -> Live:
        """Return a function at rest after an accepted change.

        Reads may lag behind: a function that is as it was before is read again, twice.
        """
        for _ in range(_MOST_MISSES - 1):
            now = self.at_rest(function, until=until)
            as_asked = done(now) and "Failed" not in {now.update, now.state}
            if as_asked or known.revision is None or now.revision != known.revision:
                return now
            self._sleep(_LONGEST_PAUSE)
        return self.at_rest(function, until=until)

    def _ask(
        self,
        ask: Callable[[LambdaClient], _Answer],
        check: Callable[[Fate], _Answer | None],
        function: str,
        until: float,
    ) -> _Answer:
        """Request a change; retry while another one is in progress.

        Args:
            ask: makes the request.
            check: called with the fate of a request that may have been applied or may be retried. It returns
                the result if the change is in place, None if it is not, and raises AwsError when another
                client made a change.
            function: the function.
            until: deadline of the clock.
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
                    if (found := check(fate)) is not None:
                        return found
                    if fate not in {"conflict", "outdated"} or self._clock() >= until:
                        raise


def _succeeded(live: Live, function: str) -> Live:
    if "Failed" in {live.update, live.state}:
        raise AwsError.of(f"the update of {function} failed: {live.reason}", where="AWS GetFunction")
    return live


def _changed(function: str) -> AwsError:
    return AwsError.of(
        f"the function {function} was changed by another client meanwhile",
        where="AWS Lambda",
        hint="see which image it runs: invoke status; then run it again",
    )
