"""A parameter of Systems Manager for each image, which Terraform, CloudFormation and CDK read."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from lamina.aws.ssm import STRING, StoredParameter, read_parameters, write_parameter
from lamina.deploy.stack import access_of, check_caller
from lamina.errors import AwsError, ConfigError, Problem
from lamina.flow.session import Session
from lamina.handoff.rules import ImageOutput
from lamina.patterns import regex
from lamina.refs import Reference

PREFIX = "/lamina"
_PREFIX = regex(r"(?!/(?i:aws|ssm))(?:/[A-Za-z0-9_.-]+){1,12}")
"""https://docs.aws.amazon.com/systems-manager/latest/userguide/sysman-paramstore-su-create.html"""
_MARK = "Lamina: the image of "

Status = Literal["new", "changed", "unchanged"]


@dataclass(frozen=True, slots=True, kw_only=True)
class ParameterChange:
    """The parameter of an image, and what becomes of it. before: its value; None for a new one."""

    image: str
    name: str
    value: str
    description: str
    before: str | None

    @property
    def status(self) -> Status:
        """What is to be done with it."""
        if self.before is None:
            return "new"
        return "unchanged" if self.before == self.value else "changed"


def check_prefix(prefix: str) -> None:
    """Raise ConfigError if parameters may not have such names."""
    if not _PREFIX.fullmatch(prefix):
        raise ConfigError.of(
            f"{prefix!r} is not a prefix of parameters",
            where="--ssm",
            allowed="/ and letters, digits, '_', '.' or '-', up to 12 such levels; not /aws… or /ssm…",
            hint=f"--ssm {PREFIX}",
        )


def plan_parameters(
    session: Session, outputs: Sequence[ImageOutput], prefix: str
) -> tuple[ParameterChange, ...]:
    """Compare the parameters of images, by digest, with those of the stack's account. Changes nothing.

    Raises AwsError if the account is another than the stack's, or a parameter is not Lamina's; all at once.
    """
    check_caller(session)
    stack = session.project.stack.name
    names = {each.image: f"{prefix}/{stack}/{each.image}" for each in outputs}
    stored = read_parameters(session.aws(access_of(session)), names.values())
    AwsError.check(foreign(outputs, names, stored))
    return tuple(
        ParameterChange(
            image=each.image,
            name=names[each.image],
            value=str(each.ref),
            description=f"{_MARK}{each.image} in {stack}",
            before=stored[names[each.image]].value if names[each.image] in stored else None,
        )
        for each in outputs
    )


def foreign(
    outputs: Iterable[ImageOutput], names: Mapping[str, str], stored: Mapping[str, StoredParameter]
) -> Iterator[Problem]:
    """Yield a problem for each parameter that Lamina did not make for this image: it is not overwritten."""
    for each in outputs:
        name = names[each.image]
        found = stored.get(name)
        if found is None:
            continue
        reason = _foreign(found, each)
        if reason:
            yield Problem(
                what=f"the parameter {name} is not changed: {reason}",
                where="AWS GetParameters",
                allowed=f"none, or one of Lamina's for {each.ref.repository}",
                hint="use another prefix (--ssm /team), or delete it: "
                f"aws ssm delete-parameter --name {name}",
            )


def _foreign(found: StoredParameter, output: ImageOutput) -> str:
    if not found.description.startswith(_MARK):
        return "Lamina did not make it"
    if found.kind != STRING:
        return f"it is a {found.kind}, which somebody else made of it"
    try:
        before = Reference.parse(found.value)
    except ValueError:
        return f"its value is not an image: {found.value[:80]!r}"
    if before.name != output.ref.name:
        return f"it names an image of another repository, {before.name}"
    return ""


def write_parameters(session: Session, changes: Iterable[ParameterChange]) -> Iterator[ParameterChange]:
    """Write the parameters that change, and yield each when it is written. Raises AwsError."""
    clients = session.aws(access_of(session))
    for each in changes:
        if each.status != "unchanged":
            exists = each.before is not None
            write_parameter(clients, each.name, each.value, each.description, exists=exists)
            yield each
