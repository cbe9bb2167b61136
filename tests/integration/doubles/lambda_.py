"""Lambda with functions that run images: moto tells no digest in use, and freezes none in a version.

Source of shapes, errors and rules: botocore's model, and AWS's pages on the states of functions.
"""

from __future__ import annotations

import re
import threading
import uuid
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import Any

from doubles.aws_front import ACCOUNT, REGION, Fault, Reply

LATEST = "$LATEST"


@dataclass(slots=True)
class _Code:
    """The code of a version. image: overrides of the image's configuration, as in ``ImageConfig``."""

    uri: str
    image: dict[str, Any] = field(default_factory=dict)
    snapshots: bool = False
    """Whether versions of it get a snapshot."""

    @property
    def digest(self) -> str:
        return self.uri.partition("@")[2]


@dataclass(slots=True)
class _Function:
    name: str
    package: str
    architecture: str
    versions: dict[str, _Code]
    aliases: dict[str, dict[str, Any]] = field(default_factory=dict)
    revision: str = ""
    modified: str = ""
    pending: int = 0
    failure: str = ""
    idle: dict[str, int] = field(default_factory=dict)
    """Versions that sleep -> looks until they are ready when a call woke them, less than 0 before that."""
    provisioned: dict[str, dict[str, Any]] = field(default_factory=dict)
    """Aliases with provisioned concurrency, as GetProvisionedConcurrencyConfig tells of them."""
    snapping: dict[str, int] = field(default_factory=dict)
    """Versions of which a snapshot is being made -> looks until it is done."""
    notes: dict[str, str] = field(default_factory=dict)
    """Versions -> their descriptions."""
    settings: dict[str, Any] = field(default_factory=dict)
    """EphemeralStorage, FileSystemConfigs."""
    published: dict[str, str] = field(default_factory=dict)
    """Versions -> when they were published, as Lambda tells it."""
    policies: set[str] = field(default_factory=set)
    """Versions with a policy of their own."""


@dataclass(slots=True)
class LambdaDouble:
    """For an `AwsFront`. exists: whether Lambda would find an image, ``host/repository@digest``.

    page: entries in an answer that lists. updates: how many times a function is still being updated when it
    is asked. answers: function -> what it answers to an event, a string for an error. invoked: function and
    version of every call.
    """

    exists: Callable[[str], bool]
    service: str = "lambda"
    account: str = ACCOUNT
    updates: int = 1
    page: int = 50
    answers: dict[str, Any] = field(default_factory=dict)
    invoked: list[tuple[str, str]] = field(default_factory=list)
    frozen: set[str] = field(default_factory=set)
    """Functions whose aliases are moved by another client just before our own update."""
    moving: Callable[[str], None] = lambda name: None
    """Told of each function whose alias is about to be moved."""
    looks: int = 2
    """How many times a version that was woken, or provisioned concurrency, is asked for until it is ready."""
    updating: Callable[[str], None] = lambda name: None
    """Told of each function whose code is about to be updated."""
    waking: str = ""
    """Why an idle version that was called cannot be made ready, if it cannot: ``code: reason``."""
    failing: str = ""
    """Why updates that were taken fail, if they do."""
    unsnappable: str = ""
    """Why no snapshot of a version can be made, if it cannot."""
    allocating: str = "READY"
    """How provisioned concurrency for the version to which an alias moves ends."""
    sources: list[str] = field(default_factory=list)
    """The ARNs that event source mappings call."""
    _functions: dict[str, _Function] = field(default_factory=dict)
    _lock: threading.RLock = field(default_factory=threading.RLock)

    @property
    def _arn(self) -> str:
        return f"arn:aws:lambda:{REGION}:{self.account}:function:"

    def runs(self, name: str, version: str = LATEST) -> str:
        """The digest that a function runs, at a version or an alias."""
        return self._functions[name].versions[self._version(self._functions[name], version)].digest

    def put(self, name: str, **versions: str) -> None:
        """Create a function that exists already. versions: ``latest``, ``v7`` -> the image it runs."""
        codes = {
            LATEST if version == "latest" else version.removeprefix("v"): _Code(uri=uri)
            for version, uri in versions.items()
        }
        package = "Image" if any(versions.values()) else "Zip"
        self._functions[name] = _Function(
            name=name, package=package, architecture="x86_64", versions=codes, revision=str(uuid.uuid4())
        )

    def published(self, name: str) -> list[str]:
        """The published versions of a function."""
        return [each for each in self._functions[name].versions if each != LATEST]

    def age(self, name: str, version: str, *, days: float) -> None:
        """Let a deployment have published a version so many days ago."""
        function, then = self._functions[name], datetime.now(UTC) - timedelta(days=days)
        function.published[version] = f"{then:%Y-%m-%dT%H:%M:%S}.000+0000"
        known = function.notes.get(version) or "lamina 20260101T000000-1a2b3c sha-0123456789ab"
        function.notes[version] = re.sub(r"\d{8}T\d{6}", f"{then:%Y%m%dT%H%M%S}", known, count=1)

    def let_call(self, name: str, version: str) -> None:
        """Give a version a policy of its own."""
        self._functions[name].policies.add(version)

    def sleep(self, name: str, version: str = LATEST) -> None:
        """Make a version inactive, as after weeks without a call: the next call is refused, and wakes it."""
        self._functions[name].idle[version] = -1

    def provision(self, name: str, alias: str) -> None:
        """Give an alias provisioned concurrency, which is ready."""
        self._functions[name].provisioned[alias] = {"Status": "READY", "left": 0}

    def configure(self, name: str, **image: Any) -> None:
        """Override the image's configuration: ``EntryPoint``, ``WorkingDirectory``."""
        function = self._functions[name]
        function.versions[LATEST] = replace(function.versions[LATEST], image=image)

    def image_config(self, name: str) -> Mapping[str, Any]:
        """What takes the place of the image's own."""
        return self._functions[name].versions[LATEST].image

    def lose_image(self, name: str) -> None:
        """Make a function fail whose image was deleted while it was inactive."""
        self._functions[name].failure = "ImageDeleted: The image is gone"

    def clear(self) -> None:
        """Forget all functions."""
        self._functions.clear()
        self.sources.clear()
        self.answers.clear()
        self.invoked.clear()
        self.frozen.clear()
        self.moving = self.updating = lambda name: None
        self.waking = self.failing = self.unsnappable = ""
        self.updates, self.looks, self.allocating = 1, 2, "READY"

    def answer(self, operation: str, body: Mapping[str, Any]) -> Mapping[str, Any] | Reply | Fault | None:
        """See `Double.answer`."""
        with self._lock:
            if operation == "CreateFunction":
                return self._create(body)
            if operation == "ListFunctions":
                told = [self._told(each, LATEST) for each in self._functions.values()]
                return self._paged(body, "Functions", told)
            if operation == "ListEventSourceMappings":
                arns = [
                    {"UUID": str(number), "FunctionArn": each} for number, each in enumerate(self.sources)
                ]
                return self._paged(body, "EventSourceMappings", arns)
            name = str(body.get("FunctionName", "")).rpartition(":")[2]
            if name not in self._functions:
                return _missing(f"Function not found: {self._arn}{name}")
            if operation == "DeleteFunction" and "Qualifier" not in body:
                del self._functions[name]
                return {}
            method = getattr(self, "_on_" + re.sub(r"(?<!^)(?=[A-Z])", "_", operation).lower(), None)
            told: Mapping[str, Any] | Reply | Fault | None = None
            if method is not None:
                told = method(self._functions[name], body)
            return told

    def _create(self, body: Mapping[str, Any]) -> Mapping[str, Any]:
        name, code = body["FunctionName"], body["Code"]
        self._functions[name] = _Function(
            name=name,
            package=body.get("PackageType", "Zip"),
            architecture=(body.get("Architectures") or ["x86_64"])[0],
            versions={LATEST: _Code(uri=code.get("ImageUri", ""), image=dict(body.get("ImageConfig") or {}))},
            revision=str(uuid.uuid4()),
            settings={name: body[name] for name in ("EphemeralStorage", "FileSystemConfigs") if name in body},
        )
        return self._told(self._functions[name], LATEST)

    def _on_delete_function(self, function: _Function, body: Mapping[str, Any]) -> Mapping[str, Any] | Fault:
        version = body["Qualifier"]
        naming = [
            name
            for name, each in function.aliases.items()
            if version in {each["FunctionVersion"], *_weights(each)}
        ]
        if naming:
            message = f"Unable to delete version because the following aliases reference it: {naming}"
            return Fault(code="ResourceConflictException", message=message, status=409)
        if version == LATEST or function.versions.pop(version, None) is None:
            return _missing(f"Function not found: {self._arn}{function.name}:{version}")
        return {}

    def _on_get_policy(self, function: _Function, body: Mapping[str, Any]) -> Mapping[str, Any] | Fault:
        if body.get("Qualifier") in function.policies:
            return {"Policy": "{}"}
        return _missing("The resource you requested does not exist.")

    def _on_list_provisioned_concurrency_configs(
        self, function: _Function, body: Mapping[str, Any]
    ) -> Mapping[str, Any]:
        arns = [{"FunctionArn": f"{self._arn}{function.name}:{each}"} for each in function.provisioned]
        return self._paged(body, "ProvisionedConcurrencyConfigs", arns)

    def _on_get_function(self, function: _Function, body: Mapping[str, Any]) -> Mapping[str, Any] | Fault:
        version = self._version(function, body.get("Qualifier", LATEST))
        if version not in function.versions:
            return _missing(f"Function not found: {self._arn}{function.name}:{version}")
        told = self._told(function, version)
        function.pending = max(0, function.pending - 1)
        if function.idle.get(version, -1) >= 0:
            function.idle[version] -= 1
            if function.idle[version] < 0 and not self.waking:
                del function.idle[version]
        if function.snapping.get(version, 0):
            function.snapping[version] -= 1
        uri = function.versions[version].uri
        code = {"RepositoryType": "ECR", "ImageUri": uri, "ResolvedImageUri": uri} if uri else {}
        return {"Configuration": told, "Code": code}

    def _on_get_function_configuration(
        self, function: _Function, body: Mapping[str, Any]
    ) -> Mapping[str, Any]:
        return self._told(function, self._version(function, body.get("Qualifier", LATEST)))

    def _on_update_function_code(
        self, function: _Function, body: Mapping[str, Any]
    ) -> Mapping[str, Any] | Fault:
        self.updating(function.name)
        if fault := self._refused(function, body):
            return fault
        if function.package != "Image":
            return _invalid("Please don't provide ImageUri when updating a function with packageType Zip.")
        if not self.exists(body["ImageUri"]):
            return _invalid(f"Source image {body['ImageUri']} does not exist. Provide a valid source image.")
        self._change(function, replace(function.versions[LATEST], uri=body["ImageUri"]))
        return self._told(function, LATEST)

    def _on_update_function_configuration(
        self, function: _Function, body: Mapping[str, Any]
    ) -> Mapping[str, Any] | Fault:
        if fault := self._refused(function, body):
            return fault
        code = function.versions[LATEST]
        if "ImageConfig" in body:
            code = replace(code, image={name: value for name, value in body["ImageConfig"].items() if value})
        if "SnapStart" in body:
            code = replace(code, snapshots=body["SnapStart"]["ApplyOn"] == "PublishedVersions")
        self._change(function, code)
        return self._told(function, LATEST)

    def _on_publish_version(self, function: _Function, body: Mapping[str, Any]) -> Mapping[str, Any] | Fault:
        if fault := self._refused(function, body):
            return fault
        published = [each for each in function.versions if each != LATEST]
        if not published or function.versions[published[-1]] != function.versions[LATEST]:
            published.append(str(max(map(int, published), default=0) + 1))
            function.versions[published[-1]] = function.versions[LATEST]
            function.notes[published[-1]] = str(body.get("Description", ""))
            function.published[published[-1]] = f"{datetime.now(UTC):%Y-%m-%dT%H:%M:%S}.000+0000"
            if function.versions[LATEST].snapshots:
                function.snapping[published[-1]] = self.looks
            function.revision = str(uuid.uuid4())
        return self._told(function, published[-1])

    def _on_list_versions_by_function(
        self, function: _Function, body: Mapping[str, Any]
    ) -> Mapping[str, Any]:
        return self._paged(body, "Versions", [self._told(function, each) for each in function.versions])

    def _on_list_aliases(self, function: _Function, body: Mapping[str, Any]) -> Mapping[str, Any]:
        return {"Aliases": list(function.aliases.values())}

    def _on_create_alias(self, function: _Function, body: Mapping[str, Any]) -> Mapping[str, Any] | Fault:
        if body["Name"] in function.aliases:
            message = f"Alias already exists: {self._arn}{function.name}:{body['Name']}"
            return Fault(code="ResourceConflictException", message=message, status=409)
        return self._put_alias(function, body)

    def _on_update_alias(self, function: _Function, body: Mapping[str, Any]) -> Mapping[str, Any] | Fault:
        self.moving(function.name)
        known = function.aliases.get(body["Name"])
        if known is not None and function.name in self.frozen:
            known["RevisionId"] = str(uuid.uuid4())
        if known is None:
            return _missing(f"Cannot find alias arn: {self._arn}{function.name}:{body['Name']}")
        if body.get("RevisionId", known["RevisionId"]) != known["RevisionId"]:
            return _changed()
        if fault := _shares_refused(self._arn, function, body):
            return fault
        if body["Name"] in function.provisioned:
            if (body.get("RoutingConfig") or {}).get("AdditionalVersionWeights"):
                return _invalid("Invalid alias configuration for Provisioned Concurrency")
            if body["FunctionVersion"] != known["FunctionVersion"]:
                return self._shift(function, body, known["FunctionVersion"])
        return self._put_alias(function, body)

    def _shift(self, function: _Function, body: Mapping[str, Any], before: str) -> Mapping[str, Any] | Fault:
        """Lambda leaves the calls to the old version until the new one has its provisioned concurrency."""
        function.provisioned[body["Name"]] = {"Status": "IN_PROGRESS", "left": self.looks}
        weights = {"RoutingConfig": {"AdditionalVersionWeights": {before: 1.0}}}
        return self._put_alias(function, {**body, **weights})

    def _on_get_provisioned_concurrency_config(
        self, function: _Function, body: Mapping[str, Any]
    ) -> Mapping[str, Any] | Fault:
        name = body["Qualifier"]
        known = function.provisioned.get(name)
        if known is None:
            message = "No Provisioned Concurrency Config found for this function"
            return Fault(code="ProvisionedConcurrencyConfigNotFoundException", message=message, status=404)
        if known["Status"] == "IN_PROGRESS":
            known["left"] -= 1
            if known["left"] < 0:
                known["Status"] = self.allocating
                if self.allocating == "READY":
                    function.aliases[name]["RoutingConfig"] = {}
        reason = {"StatusReason": "FUNCTION_ERROR_INIT_FAILURE"} if known["Status"] == "FAILED" else {}
        return {"Status": known["Status"], **reason}

    def _on_delete_alias(self, function: _Function, body: Mapping[str, Any]) -> Mapping[str, Any]:
        function.aliases.pop(body["Name"], None)
        return {}

    def _on_invoke(self, function: _Function, body: Mapping[str, Any]) -> Reply | Fault:
        version = self._version(function, str(body.get("Qualifier", LATEST)))
        if version in function.idle:
            function.idle[version] = max(function.idle[version], self.looks)
            message = "Lambda is initializing your function. It will be ready to invoke shortly."
            return Fault(code="CodeArtifactUserPendingException", message=message, status=409)
        self.invoked.append((function.name, str(body.get("Qualifier", LATEST))))
        told = self.answers.get(function.name, {"statusCode": 200})
        if isinstance(told, str):
            error = {"errorType": "RuntimeError", "errorMessage": told}
            return Reply(document=error, headers={"X-Amz-Function-Error": "Unhandled"})
        return Reply(document=told)

    def _paged(self, body: Mapping[str, Any], key: str, items: list[Any]) -> Mapping[str, Any]:
        start = int(body.get("Marker") or 0)
        end = start + min(self.page, int(body.get("MaxItems") or self.page))
        return {key: items[start:end], **({"NextMarker": str(end)} if end < len(items) else {})}

    def _put_alias(self, function: _Function, body: Mapping[str, Any]) -> Mapping[str, Any] | Fault:
        if body["FunctionVersion"] not in function.versions:
            return _missing(f"Function not found: {self._arn}{function.name}:{body['FunctionVersion']}")
        known = function.aliases.get(body["Name"], {})
        function.aliases[body["Name"]] = {
            "Description": body.get("Description", known.get("Description", "")),
            "AliasArn": f"{self._arn}{function.name}:{body['Name']}",
            "Name": body["Name"],
            "FunctionVersion": body["FunctionVersion"],
            "RoutingConfig": body.get("RoutingConfig", {}),
            "RevisionId": str(uuid.uuid4()),
        }
        return function.aliases[body["Name"]]

    def _refused(self, function: _Function, body: Mapping[str, Any]) -> Fault | None:
        if function.pending:
            return Fault(
                code="ResourceConflictException",
                message="The operation cannot be performed at this time. An update is in progress.",
                status=409,
            )
        return None if body.get("RevisionId", function.revision) == function.revision else _changed()

    def _change(self, function: _Function, code: _Code) -> None:
        function.versions[LATEST] = code
        function.revision = str(uuid.uuid4())
        function.modified = str(uuid.uuid4())
        function.pending = self.updates
        function.failure = ""

    def _version(self, function: _Function, qualifier: str) -> str:
        alias = function.aliases.get(qualifier)
        return str(alias["FunctionVersion"]) if alias else qualifier

    def _told(self, function: _Function, version: str) -> dict[str, Any]:
        code = function.versions[version]
        pending = version == LATEST and function.pending
        state, cause = "Active", ""
        if version in function.idle:
            waking = function.idle[version] >= 0
            state, cause = ("Pending", "Restoring") if waking else ("Inactive", "Idle")
            cause = self.waking.partition(":")[0] or cause
        snapping = function.snapping.get(version, 0)
        if code.snapshots and version != LATEST:
            state = "Pending" if snapping else "Failed" if self.unsnappable else state
        snapped = code.snapshots and version != LATEST and state == "Active"
        return {
            "FunctionName": function.name,
            "FunctionArn": self._arn + function.name + ("" if version == LATEST else f":{version}"),
            "Version": version,
            "PackageType": function.package,
            "Description": function.notes.get(version, ""),
            "Architectures": [function.architecture],
            "ImageConfigResponse": {"ImageConfig": code.image} if code.image else {},
            "State": "Failed" if function.failure else state,
            "StateReason": function.failure or self.waking or self.unsnappable,
            "StateReasonCode": cause,
            "LastUpdateStatus": "InProgress" if pending else "Failed" if self.failing else "Successful",
            "LastUpdateStatusReason": self.failing,
            "RevisionId": function.revision,
            "LastModified": function.published.get(version, function.modified),
            "SnapStart": {
                "ApplyOn": "PublishedVersions" if code.snapshots else "None",
                "OptimizationStatus": "On" if snapped else "Off",
            },
            **function.settings,
        }


def _weights(alias: Mapping[str, Any]) -> Mapping[str, float]:
    found: Mapping[str, float] = (alias.get("RoutingConfig") or {}).get("AdditionalVersionWeights") or {}
    return found


def _shares_refused(arn: str, function: _Function, body: Mapping[str, Any]) -> Fault | None:
    """What Lambda says of shares of calls that an alias cannot have.

    https://docs.aws.amazon.com/lambda/latest/dg/configuring-alias-routing.html
    """
    shares = (body.get("RoutingConfig") or {}).get("AdditionalVersionWeights") or {}
    versions = {str(body["FunctionVersion"]), *shares}
    if len(shares) > 1:
        return _invalid("The number of additional version weights exceeds the limit of 1.")
    if shares and LATEST in versions:
        return _invalid("$LATEST is not supported for an alias pointing to more than 1 version.")
    if shares and len(versions) == 1:
        return _invalid("The additional version must not be the version of the alias.")
    if any(not 0 <= share <= 1 for share in shares.values()):
        return _invalid("A weight is a number from 0 to 1.")
    if missing := [each for each in shares if each not in function.versions]:
        return _missing(f"Function not found: {arn}{function.name}:{missing[0]}")
    return None


def _missing(message: str) -> Fault:
    return Fault(code="ResourceNotFoundException", message=message, status=404)


def _invalid(message: str) -> Fault:
    return Fault(code="InvalidParameterValueException", message=message)


def _changed() -> Fault:
    message = "The Revision Id provided does not match the latest Revision Id."
    return Fault(code="PreconditionFailedException", message=message, status=412)
