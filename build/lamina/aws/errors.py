"""Errors of AWS' client turned into errors of Lamina that name the next step."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING

from lamina.errors import AwsError, LaminaError, RegistryError

if TYPE_CHECKING:
    from botocore.exceptions import BotoCoreError, ClientError

_LOGIN = "aws sso login, or set AWS_PROFILE, or AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY"
_SSO_LOGIN = "aws sso login"
_SSO = frozenset({"sso_session", "sso_start_url"})
_ASSUME = "AssumeRole"
_ON_ROLE = re.compile(r"on resource:? (arn:\S+:role/\S+)")
_ACTION = re.compile(r"not authorized to perform:? ([\w-]+:\w+)")
_EXPIRED = frozenset({"ExpiredToken", "ExpiredTokenException", "RequestExpired", "TokenRefreshRequired"})
_INVALID = frozenset(
    {
        "AuthFailure",
        "IncompleteSignature",
        "InvalidClientTokenId",
        "InvalidSignatureException",
        "SignatureDoesNotMatch",
        "UnrecognizedClientException",
    }
)
_DENIED = frozenset({"AccessDenied", "AccessDeniedException", "UnauthorizedOperation", "OptInRequired"})
_THROTTLED = frozenset(
    {"RequestLimitExceeded", "RequestThrottled", "SlowDown", "ThrottledException", "TooManyRequestsException"}
)
_PROCESS = "_retrieve_credentials_using"
"""The botocore function that runs ``credential_process``."""
_ACTIONS: Mapping[str, str] = {
    "ListObjectsV2": "ListBucket",
    "HeadObject": "GetObject",
    "CreateMultipartUpload": "PutObject",
    "UploadPart": "PutObject",
    "GetBucketEncryption": "GetEncryptionConfiguration",
    "GetBucketLifecycleConfiguration": "GetLifecycleConfiguration",
    "PutBucketEncryption": "PutEncryptionConfiguration",
    "PutBucketLifecycleConfiguration": "PutLifecycleConfiguration",
}
"""Operation -> its name in policies, where that differs."""
# botocore exception class -> fact and hint; looked up along the exception's MRO.
_BY_CLASS: Mapping[str, tuple[str, str]] = {
    "NoCredentialsError": ("there are no AWS credentials", f"run: {_LOGIN}"),
    "PartialCredentialsError": ("the AWS credentials are incomplete", f"run: {_LOGIN}"),
    "CredentialRetrievalError": ("the AWS credentials cannot be fetched", f"run: {_LOGIN}"),
    "RefreshWithMFAUnsupportedError": (
        "the AWS session has ended, and a new one needs an MFA code",
        "get a session and run it again: aws sts get-session-token --serial-number <mfa>",
    ),
    "MetadataRetrievalError": ("the AWS credentials cannot be fetched", f"run: {_LOGIN}"),
    "SSOError": ("the AWS SSO session is missing or has ended", f"run: {_SSO_LOGIN}"),
    "TokenRetrievalError": ("the AWS SSO session is missing or has ended", f"run: {_SSO_LOGIN}"),
    "LoginError": ("the AWS login session is missing or has ended", "run: aws login"),
    "NoAuthTokenError": ("the AWS SSO session is missing or has ended", f"run: {_SSO_LOGIN}"),
    "ProfileNotFound": ("the AWS profile does not exist", "list the profiles: aws configure list-profiles"),
    "ConfigParseError": ("AWS' configuration cannot be read", "fix ~/.aws/config, or set AWS_CONFIG_FILE"),
    "ConfigNotFound": ("AWS' configuration cannot be read", "fix ~/.aws/config, or set AWS_CONFIG_FILE"),
    "NoRegionError": (
        "no AWS region is set",
        "set AWS_DEFAULT_REGION, or region in the profile or in [tool.lamina]",
    ),
    "InvalidRegionError": ("the AWS region is not valid", "set AWS_DEFAULT_REGION to one such as eu-west-1"),
    "ParamValidationError": (
        "AWS' client rejects a parameter",
        "check names and account in the configuration",
    ),
    "EndpointConnectionError": (
        "AWS cannot be reached",
        "check the region, the network and AWS_ENDPOINT_URL_ECR",
    ),
    "SSLError": ("AWS cannot be reached over TLS", "for a private CA set AWS_CA_BUNDLE to its bundle"),
    "ProxyConnectionError": ("the proxy to AWS cannot be reached", "check HTTPS_PROXY and NO_PROXY"),
    "HTTPClientError": ("AWS cannot be reached", "check the network, HTTPS_PROXY and NO_PROXY"),
    "ConnectionError": ("AWS cannot be reached", "check the network, HTTPS_PROXY and NO_PROXY"),
}


@contextmanager
def aws_errors(about: str | None = None, *, service: str = "ecr") -> Iterator[None]:
    """Turn botocore's exceptions into RegistryError for ECR, AwsError for other services.

    Args:
        about: the repository, function or project of the call.
        service: the service's prefix in the names of actions, ``ecr`` or ``lambda``.

    Raises:
        RegistryError: the call to ECR failed, or the role for it may not be assumed.
        AwsError: the call to another service failed.
    """
    try:
        yield
    except AwsError as error:  # of a role that was assumed for the request
        if _class_of(service) is AwsError:
            raise
        raise RegistryError(*error.problems) from error
    except LaminaError:
        raise
    except Exception as error:
        from botocore.exceptions import BotoCoreError, ClientError

        if isinstance(error, ClientError):
            raise refused(error, about, service=service) from error
        if isinstance(error, BotoCoreError):
            raise failed(error, service=service) from error
        if where := _client_frames(error):
            raise _broken(error, where, service=service) from None  # the cause may quote a credential
        raise


def is_denied(error: LaminaError) -> bool:
    """Whether a permission is missing."""
    from botocore.exceptions import ClientError

    cause = error.__cause__
    return isinstance(cause, ClientError) and str(cause.response.get("Error", {}).get("Code", "")) in _DENIED


def is_unreachable(error: LaminaError) -> bool:
    """Whether the endpoint of the service cannot be reached."""
    from botocore.exceptions import EndpointConnectionError

    return isinstance(error.__cause__, EndpointConnectionError)


def failed(error: BotoCoreError, *, service: str = "ecr") -> LaminaError:
    """Return the error for a request that was not sent or not answered."""
    kind_of_error = _class_of(service)
    for kind in type(error).__mro__:
        if known := _BY_CLASS.get(kind.__name__):
            what, hint = known
            hint = hint.replace(_SSO_LOGIN, _sso_login()) if hint.endswith(_SSO_LOGIN) else hint
            return kind_of_error.of(f"{what}: {_short(str(error))}", where="AWS", hint=hint)
    return kind_of_error.of(f"AWS' client failed: {_short(str(error))}", where="AWS")


def _client_frames(error: Exception) -> frozenset[str]:
    """Return the names of the boto3 and botocore functions in the traceback, and of those they called.

    Empty when the exception did not come from AWS' client.
    """
    found: set[str] = set()
    trace = error.__traceback__
    while trace is not None:
        frame, trace = trace.tb_frame, trace.tb_next
        inside = str(frame.f_globals.get("__name__", "")).partition(".")[0] in {"boto3", "botocore"}
        if inside or found:
            found.add(frame.f_code.co_name)
    return frozenset(found)


def _broken(error: Exception, frames: frozenset[str], *, service: str) -> LaminaError:
    """Return the error for an exception from AWS' client that is not one of botocore's own."""
    kind = _class_of(service)
    if isinstance(error, EOFError) or "getpass" in frames:
        return kind.of(
            "the AWS profile needs an MFA code, and there is no terminal to ask for it",
            where="AWS",
            hint="run it in a terminal, or get a session first and set AWS_ACCESS_KEY_ID, "
            "AWS_SECRET_ACCESS_KEY and AWS_SESSION_TOKEN: aws sts get-session-token --serial-number <mfa>",
        )
    if _PROCESS in frames:
        reason = f"{error.strerror}: {error.filename}" if isinstance(error, OSError) else "invalid output"
        return kind.of(
            f"credential_process of the AWS profile gave no credentials: {reason}",
            where="AWS",
            allowed='one JSON object on standard output, {"Version": 1, "AccessKeyId": …}, and nothing else',
            hint="run the command yourself: it is in ~/.aws/config; any other output of it belongs on "
            "standard error",
        )
    if type(error).__name__ == "ResponseParserError":
        return kind.of(
            f"the response is not from AWS: {_short(str(error))}",
            where="AWS",
            hint="check AWS_ENDPOINT_URL, HTTPS_PROXY and NO_PROXY",
        )
    return kind.of(
        f"AWS' client failed: {type(error).__name__}: {_short(str(error))}",
        where="AWS",
        hint="check ~/.aws/config, AWS_DEFAULT_REGION and AWS_ENDPOINT_URL",
    )


def refused(error: ClientError, about: str | None = None, *, service: str = "ecr") -> LaminaError:
    """Return the error for an error response of AWS."""
    kind = _class_of(service)
    detail = error.response.get("Error", {})
    code, message = str(detail.get("Code", "")), _short(str(detail.get("Message", "")))
    operation = error.operation_name
    where = f"AWS {operation}"
    if code in _EXPIRED:
        return kind.of("the AWS credentials have expired", where=where, hint=f"renew them: {_LOGIN}")
    if code in _INVALID:
        return kind.of(
            f"AWS does not accept the credentials: {message or code}", where=where, hint=f"run: {_LOGIN}"
        )
    if code in _DENIED and operation == _ASSUME:
        return _role_refused(kind, about, message)
    if code in _DENIED:
        named = _ACTION.search(message)
        action = named[1] if named else f"{service}:{_ACTIONS.get(operation, operation)}"
        on = f" on {about}" if about else ""
        return kind.of(
            f"not allowed: {action}{on}",
            where=where,
            allowed=f"a role or user whose policy has {action}",
            hint=f"add {action} to the policy; AWS said: {message}",
        )
    if code in _THROTTLED or code.startswith("Throttl"):
        return kind.of(
            "AWS throttles this account's requests: five attempts were not enough",
            where=where,
            hint="wait a minute and try again, with fewer runs at once",
        )
    if code == "RepositoryNotFoundException":
        name = about or "<name>"
        return kind.of(
            f"the repository {name} does not exist", where=where, hint=f"run: {create_command(name)}"
        )
    if code == "LimitExceededException":
        return kind.of(
            f"a limit of the account is reached: {message}",
            where=where,
            hint="ask for a higher quota in Service Quotas",
        )
    return kind.of(f"AWS answered {code or 'an error'}: {message}", where=where)


def _role_refused(kind: type[LaminaError], role: str | None, message: str) -> LaminaError:
    """Return the error for a role that may not be assumed. AWS does not say which of its causes it was."""
    named = _ON_ROLE.search(message)
    return kind.of(
        f"not allowed: sts:AssumeRole on {role or (named[1] if named else 'the role')}",
        where=f"AWS {_ASSUME}",
        allowed="a caller whose policy has sts:AssumeRole on the role, and whom its trust policy names",
        hint="check that the role exists, both policies, and external-id or MFA if the trust policy asks for "
        f"one; AWS said: {message}",
    )


def _sso_login() -> str:
    """Return the command that renews an SSO session: that of the profile in use, or of its source."""
    from botocore.session import Session

    try:
        session = Session()
        profiles, name = session.full_config["profiles"], str(session.profile or "default")
        seen: set[str] = set()
        while name not in seen and not _SSO & profiles.get(name, {}).keys():
            seen.add(name)
            name = profiles.get(name, {}).get("source_profile", name)
        found = _SSO & profiles.get(name, {}).keys()
    except Exception:  # whatever is wrong with the configuration, this is only a hint
        return "aws sso login"
    return f"aws sso login --profile {shlex.quote(name)}" if found and name != "default" else "aws sso login"


def _class_of(service: str) -> type[LaminaError]:
    return RegistryError if service == "ecr" else AwsError


def create_command(repository: str) -> str:
    """Return the commands that create a repository: AWS' own, and a push that creates it."""
    return f"aws ecr create-repository --repository-name {repository} (or invoke build-all --push --create)"


def _short(text: str) -> str:
    return " ".join(text.split())[:300]
