"""Classification of failed AWS requests: whether they may have taken effect, whether to retry."""

from __future__ import annotations

import re
from typing import Literal

from lamina.errors import AwsError, LaminaError

Fate = Literal["conflict", "outdated", "unknown", "asleep", "throttled", "refused"]
_BY_CODE: dict[str, Fate] = {
    "ResourceConflictException": "conflict",
    "PreconditionFailedException": "outdated",
    "TooManyRequestsException": "throttled",
    # Invoke's answers while Lambda restores an idle function; the function was not called.
    "CodeArtifactUserPendingException": "asleep",
    "ResourceNotReadyException": "asleep",
    "SnapStartNotReadyException": "asleep",
    "ENINotReadyException": "asleep",
}
_FAULT = 500
_NO_PULL = re.compile(r"permission to access the (?:ECR|specified) image")


def fate_of(error: BaseException | None) -> Fate:
    """Return what became of a request that ended with ``error``.

    - ``conflict``: not applied; another change is in progress.
    - ``outdated``: not applied; the revision is not the given one. An earlier attempt of ours whose response
      was lost may have changed it.
    - ``unknown``: no response, or a fault of AWS; it may have been applied.
    - ``throttled``: not applied, but an earlier attempt may have been.
    - ``asleep``: not called; Lambda restores the idle function first.
    - ``refused``: not applied; a retry is of no use.
    """
    from botocore import exceptions

    if isinstance(error, (exceptions.ConnectionError, exceptions.HTTPClientError)):
        return "unknown"
    if not isinstance(error, exceptions.ClientError):
        return "refused"
    code = str(error.response.get("Error", {}).get("Code", ""))
    if code in _BY_CODE:
        return _BY_CODE[code]
    if code.startswith("Throttl"):
        return "throttled"
    status = error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0)
    return "unknown" if status >= _FAULT else "refused"


def may_pass(error: LaminaError) -> bool:
    """Whether the error may be transient: a fault of AWS, too many requests, no response."""
    return fate_of(error.__cause__) != "refused"


def naming_the_policy(error: AwsError, uri: str) -> AwsError:
    """Name the repository policy if Lambda may not pull the image; else return the error unchanged."""
    if not any(_NO_PULL.search(str(each)) for each in error.problems):
        return error
    repository = uri.partition("@")[0].partition("/")[2]
    return AwsError.of(
        f"Lambda may not pull {uri}: the policy of the repository {repository} does not let it",
        where=error.problems[0].where,
        allowed="lambda.amazonaws.com with ecr:BatchGetImage and ecr:GetDownloadUrlForLayer in that policy",
        hint="invoke ecr.setup writes that policy; for functions of another account name it in readers first",
    )
