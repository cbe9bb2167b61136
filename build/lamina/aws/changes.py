"""The calls of AWS that change something, or run code: seen where AWS' client makes them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from lamina.aws.answers import fate_of
from lamina.json_data import JsonDocument, JsonTable, as_list, as_table

if TYPE_CHECKING:
    from botocore.model import OperationModel
    from botocore.session import Session

    _Context = dict[str, tuple[str, str, str]]

READING = ("Assume", "BatchCheck", "BatchGet", "Describe", "Filter", "Get", "Head", "List", "UploadPart")
"""Operations whose name begins so change nothing; all others do, or run code as Invoke does.

The parts of an upload are nothing before it is completed.
"""
_RESOURCES = (
    *("FunctionName", "repositoryName", "projectName", "Bucket", "prefix", "StackName"),
    *("resourceArn", "ecrRepositoryPrefix"),
    *("name", "Name", "id"),
)
"""Parameters that name what is changed; the first that is given counts."""
_PARTS = {"FunctionName": ("Name", "Qualifier"), "Bucket": ("Key",)}
"""Such a parameter -> those that name a part of it."""
_DETAILS = ("ImageUri", "FunctionVersion", "RoutingConfig", "value")
"""Parameters that are recorded too. No other is: variables and policies may be secret."""
NO_ANSWER = "no answer"
_ARN_PARTS = 5
_KEY = "lamina_call"


@dataclass(frozen=True, slots=True, kw_only=True)
class AwsCall:
    """A call that changes something, when its answer is known.

    Attributes:
        time: ISO 8601, when the answer came.
        action: ``lambda:UpdateFunctionCode``.
        resource: the function with its alias or version, the repository with its image, the project…
        detail: further parameters that say what it becomes.
        account, region: None if they are not known.
        request_id: AWS' own, by which CloudTrail and support find the call; None if none came.
        error: AWS' error code; None if the call succeeded. ``no answer``: it may have taken effect.
    """

    time: str
    action: str
    resource: str
    detail: str
    account: str | None
    region: str | None
    request_id: str | None
    error: str | None

    def document(self) -> JsonDocument:
        """Return it for JSON."""
        return {name: getattr(self, name) for name in self.__slots__}


def now() -> str:
    """Return the time of a call that has just ended."""
    return datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def watch(session: Session, record: Callable[[AwsCall], None]) -> None:
    """Record the changing calls of all clients that a session makes from now on.

    record: threads may call it at once.
    """
    watcher = _Watcher(record)
    # botocore's stubs know no handler that names its parameters.
    session.register("provide-client-params", watcher.begin)  # type: ignore[arg-type]
    session.register("after-call", watcher.end)  # type: ignore[arg-type]
    session.register("after-call-error", watcher.fail)  # type: ignore[arg-type]


class _Watcher:
    """Follows each call from its parameters to its answer, by the context that botocore hands along."""

    def __init__(self, record: Callable[[AwsCall], None]) -> None:
        self._record = record
        self._account: str | None = None

    def begin(self, params: JsonTable, model: OperationModel, context: _Context, **_: object) -> None:
        if not model.name.startswith(READING):
            action = f"{model.service_model.service_name}:{model.name}"
            context[_KEY] = (action, _resource(params), _detail(params))

    def end(self, parsed: JsonTable, model: OperationModel, context: _Context, **_: object) -> None:
        if model.name == "GetCallerIdentity":
            self._account = _text(parsed.get("Account"))
        if _KEY in context:
            self._add(context, parsed, _error(parsed))

    def fail(self, exception: Exception, context: _Context, **_: object) -> None:
        if _KEY in context and fate_of(exception) == "unknown":  # all else was not sent
            self._add(context, {}, NO_ANSWER)

    def _add(self, context: _Context, parsed: JsonTable, error: str | None) -> None:
        action, resource, detail = context[_KEY]
        made = parsed.get("Version") if action == "lambda:PublishVersion" else None
        self._record(
            AwsCall(
                time=now(),
                action=action,
                resource=f"{resource}:{made}" if made else resource,
                detail=detail,
                account=_account(parsed) or self._account,
                region=_text(context.get("client_region")),
                request_id=_text(as_table(parsed.get("ResponseMetadata")).get("RequestId")),
                error=error,
            )
        )


def _resource(params: JsonTable) -> str:
    name = next((each for each in _RESOURCES if params.get(each)), None)
    if name is None:
        return ""
    parts = [str(params[each]) for each in _PARTS.get(name, ()) if params.get(each)]
    resource = ("/" if name == "Bucket" else ":").join((str(params[name]), *parts))
    ids = map(as_table, as_list(params.get("imageIds")))
    images = ", ".join(str(each.get("imageDigest") or each.get("imageTag")) for each in ids)
    return f"{resource}@{images}" if images else resource


def _detail(params: JsonTable) -> str:
    found = {name: params[name] for name in _DETAILS if params.get(name)}
    if routing := as_table(found.get("RoutingConfig")):
        found["RoutingConfig"] = routing.get("AdditionalVersionWeights")
    return ", ".join(f"{name}={value}" for name, value in found.items())


def _error(parsed: JsonTable) -> str | None:
    """Return the code of an error, or of the first image that ECR did not delete."""
    code, failures = as_table(parsed.get("Error")).get("Code"), as_list(parsed.get("failures"))
    if code or not failures:
        return _text(code)
    return f"{len(failures)} failed: {as_table(failures[0]).get('failureCode')}"


def _account(parsed: JsonTable) -> str | None:
    """Return the account in an answer: that of the registry, or that in an ARN."""
    for each in (parsed, *(as_table(parsed.get(name)) for name in ("repository", "project", "build"))):
        if each.get("registryId"):
            return str(each["registryId"])
        for name in ("FunctionArn", "AliasArn", "arn"):
            if str(each.get(name)).count(":") >= _ARN_PARTS:
                return str(each[name]).split(":")[4] or None
    return None


def _text(value: object) -> str | None:
    return str(value) if value else None
