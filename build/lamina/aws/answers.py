"""What became of a request that ended with an error: whether it may have been done, whether to ask again."""

from __future__ import annotations

from typing import Literal

from lamina.errors import LaminaError

Fate = Literal["conflict", "outdated", "unknown", "asleep", "throttled", "refused"]
_BY_CODE: dict[str, Fate] = {
    "ResourceConflictException": "conflict",
    "PreconditionFailedException": "outdated",
    "TooManyRequestsException": "throttled",
    # What Invoke answers while Lambda makes an idle function ready again; the call was not made.
    "CodeArtifactUserPendingException": "asleep",
    "ResourceNotReadyException": "asleep",
    "SnapStartNotReadyException": "asleep",
    "ENINotReadyException": "asleep",
}
_FAULT = 500


def fate_of(error: BaseException | None) -> Fate:
    """What became of a request that ended with an error.

    ``conflict``: not done, another change is under way. ``outdated``: not done, the revision is another one
    than was given; an earlier try of ours, whose answer was lost, may have made it. ``unknown``: no answer,
    or a fault of AWS: it may have been done. ``throttled``: not done, but an earlier try may have been.
    ``asleep``: not called, the function is made ready first.
    ``refused``: not done; asking again is of no use.
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
    """Whether what AWS answered may be over in a moment: a fault of AWS, too many requests, no answer."""
    return fate_of(error.__cause__) != "refused"
