"""Lambda with functions that run images: moto tells no digest in use, and freezes none in a version.

Source of shapes, errors and rules: botocore's model, and AWS's pages on the states of functions.
"""

from __future__ import annotations

import re
import threading
import uuid
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from doubles.aws_front import REGION, Fault, Reply

LATEST = "$LATEST"
_ARN = f"arn:aws:lambda:{REGION}:123456789012:function:"


@dataclass(slots=True)
class _Code:
    """What a version runs."""

    uri: str
    command: list[str]

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
    pending: int = 0
    failure: str = ""


@dataclass(slots=True)
class LambdaDouble:
    """For an `AwsFront`. exists: whether Lambda would find an image, ``host/repository@digest``.

    page: entries in an answer that lists. updates: how many times a function is still being updated when it
    is asked. answers: function -> what it answers to an event, a string for an error. invoked: function and
    version of every call.
    """

    exists: Callable[[str], bool]
    service: str = "lambda"
    updates: int = 1
    page: int = 50
    answers: dict[str, Any] = field(default_factory=dict)
    invoked: list[tuple[str, str]] = field(default_factory=list)
    frozen: set[str] = field(default_factory=set)
    """Functions whose aliases somebody else moves just before they are moved."""
    moving: Callable[[str], None] = lambda name: None
    """Told of each function whose alias is about to be moved."""
    _functions: dict[str, _Function] = field(default_factory=dict)
    _lock: threading.RLock = field(default_factory=threading.RLock)

    def runs(self, name: str, version: str = LATEST) -> str:
        """The digest that a function runs, at a version or an alias."""
        return self._functions[name].versions[self._version(self._functions[name], version)].digest

    def put(self, name: str, **versions: str) -> None:
        """A function as if it had been there before. versions: ``latest``, ``v7`` -> the image it runs."""
        codes = {
            LATEST if version == "latest" else version.removeprefix("v"): _Code(uri=uri, command=[])
            for version, uri in versions.items()
        }
        package = "Image" if any(versions.values()) else "Zip"
        self._functions[name] = _Function(
            name=name, package=package, architecture="x86_64", versions=codes, revision=str(uuid.uuid4())
        )

    def lose_image(self, name: str) -> None:
        """As if the image had been deleted under a function that nobody called for weeks."""
        self._functions[name].failure = "ImageDeleted: The image is gone"

    def clear(self) -> None:
        """Forget all functions."""
        self._functions.clear()
        self.answers.clear()
        self.invoked.clear()
        self.frozen.clear()
        self.moving = lambda name: None

    def answer(self, operation: str, body: Mapping[str, Any]) -> Mapping[str, Any] | Reply | Fault | None:
        """See `Double.answer`."""
        with self._lock:
            if operation == "CreateFunction":
                return self._create(body)
            if operation == "ListFunctions":
                told = [self._told(each, LATEST) for each in self._functions.values()]
                return self._paged(body, "Functions", told)
            name = str(body.get("FunctionName", "")).rpartition(":")[2]
            if name not in self._functions:
                return _missing(f"Function not found: {_ARN}{name}")
            if operation == "DeleteFunction":
                del self._functions[name]
                return {}
            method = getattr(self, "_on_" + re.sub(r"(?<!^)(?=[A-Z])", "_", operation).lower(), None)
            told: Mapping[str, Any] | Reply | Fault | None = None
            if method is not None:
                told = method(self._functions[name], body)
            return told

    def _create(self, body: Mapping[str, Any]) -> Mapping[str, Any]:
        name, code = body["FunctionName"], body["Code"]
        command = (body.get("ImageConfig") or {}).get("Command") or []
        self._functions[name] = _Function(
            name=name,
            package=body.get("PackageType", "Zip"),
            architecture=(body.get("Architectures") or ["x86_64"])[0],
            versions={LATEST: _Code(uri=code.get("ImageUri", ""), command=list(command))},
            revision=str(uuid.uuid4()),
        )
        return self._told(self._functions[name], LATEST)

    def _on_get_function(self, function: _Function, body: Mapping[str, Any]) -> Mapping[str, Any] | Fault:
        version = self._version(function, body.get("Qualifier", LATEST))
        if version not in function.versions:
            return _missing(f"Function not found: {_ARN}{function.name}:{version}")
        told = self._told(function, version)
        function.pending = max(0, function.pending - 1)
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
        if fault := self._refused(function, body):
            return fault
        if function.package != "Image":
            return _invalid("Please don't provide ImageUri when updating a function with packageType Zip.")
        if not self.exists(body["ImageUri"]):
            return _invalid(f"Source image {body['ImageUri']} does not exist. Provide a valid source image.")
        self._change(function, _Code(uri=body["ImageUri"], command=function.versions[LATEST].command))
        return self._told(function, LATEST)

    def _on_update_function_configuration(
        self, function: _Function, body: Mapping[str, Any]
    ) -> Mapping[str, Any] | Fault:
        if fault := self._refused(function, body):
            return fault
        command = (body.get("ImageConfig") or {}).get("Command") or []
        self._change(function, _Code(uri=function.versions[LATEST].uri, command=list(command)))
        return self._told(function, LATEST)

    def _on_publish_version(self, function: _Function, body: Mapping[str, Any]) -> Mapping[str, Any] | Fault:
        if fault := self._refused(function, body):
            return fault
        published = [each for each in function.versions if each != LATEST]
        if not published or function.versions[published[-1]] != function.versions[LATEST]:
            published.append(str(len(published) + 1))
            function.versions[published[-1]] = function.versions[LATEST]
        return self._told(function, published[-1])

    def _on_list_versions_by_function(
        self, function: _Function, body: Mapping[str, Any]
    ) -> Mapping[str, Any]:
        return self._paged(body, "Versions", [self._told(function, each) for each in function.versions])

    def _on_list_aliases(self, function: _Function, body: Mapping[str, Any]) -> Mapping[str, Any]:
        return {"Aliases": list(function.aliases.values())}

    def _on_create_alias(self, function: _Function, body: Mapping[str, Any]) -> Mapping[str, Any] | Fault:
        return self._put_alias(function, body)

    def _on_update_alias(self, function: _Function, body: Mapping[str, Any]) -> Mapping[str, Any] | Fault:
        self.moving(function.name)
        known = function.aliases.get(body["Name"])
        if known is not None and function.name in self.frozen:
            known["RevisionId"] = str(uuid.uuid4())
        if known is None:
            return _missing(f"Cannot find alias arn: {_ARN}{function.name}:{body['Name']}")
        if body.get("RevisionId", known["RevisionId"]) != known["RevisionId"]:
            return _changed()
        return self._put_alias(function, body)

    def _on_delete_alias(self, function: _Function, body: Mapping[str, Any]) -> Mapping[str, Any]:
        function.aliases.pop(body["Name"], None)
        return {}

    def _on_invoke(self, function: _Function, body: Mapping[str, Any]) -> Reply:
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
            return _missing(f"Function not found: {_ARN}{function.name}:{body['FunctionVersion']}")
        function.aliases[body["Name"]] = {
            "AliasArn": f"{_ARN}{function.name}:{body['Name']}",
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
        function.pending = self.updates
        function.failure = ""

    def _version(self, function: _Function, qualifier: str) -> str:
        alias = function.aliases.get(qualifier)
        return str(alias["FunctionVersion"]) if alias else qualifier

    def _told(self, function: _Function, version: str) -> dict[str, Any]:
        code = function.versions[version]
        pending = version == LATEST and function.pending
        return {
            "FunctionName": function.name,
            "FunctionArn": _ARN + function.name + ("" if version == LATEST else f":{version}"),
            "Version": version,
            "PackageType": function.package,
            "Architectures": [function.architecture],
            "ImageConfigResponse": {"ImageConfig": {"Command": code.command}} if code.command else {},
            "State": "Failed" if function.failure else "Active",
            "StateReason": function.failure,
            "LastUpdateStatus": "InProgress" if pending else "Successful",
            "RevisionId": function.revision,
        }


def _missing(message: str) -> Fault:
    return Fault(code="ResourceNotFoundException", message=message, status=404)


def _invalid(message: str) -> Fault:
    return Fault(code="InvalidParameterValueException", message=message)


def _changed() -> Fault:
    message = "The Revision Id provided does not match the latest Revision Id."
    return Fault(code="PreconditionFailedException", message=message, status=412)
