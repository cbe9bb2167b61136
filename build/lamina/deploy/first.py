"""The functions of a stack before its first deployment: which exist, and which their images are."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Literal

from lamina.aws.live import IMAGE
from lamina.declare.functions import Function
from lamina.deploy.asking import ask_all
from lamina.deploy.rules import zip_function
from lamina.deploy.stack import check_caller, clients_of
from lamina.errors import AwsError, Problem
from lamina.execute.outcome import Outcome
from lamina.flow.session import Session
from lamina.json_data import JsonDocument

State = Literal["exists", "to be created", "of its CloudFormation stack"]


@dataclass(frozen=True, slots=True, kw_only=True)
class FirstFunction:
    """A declared function, before anything is deployed to it. A function of a stack is not looked up."""

    image: str
    function: Function
    state: State

    def document(self, outcome: Outcome | None) -> JsonDocument:
        """Return it for JSON, with the reference of its pushed image if there is one."""
        return {
            "function": str(self.function),
            "image": self.image,
            "state": self.state,
            "uri": uri_of(outcome, self.image),
            "command": list(self.function.command),
        }


def uri_of(outcome: Outcome | None, image: str) -> str | None:
    """Return the reference of a pushed image by digest; None if it was not pushed."""
    result = outcome.results.get(image) if outcome else None
    if result is None or result.digest is None:
        return None
    return str(result.image.repository.with_digest(result.digest))


def read_first(session: Session) -> tuple[FirstFunction, ...]:
    """Return the functions of the selected images. Changes nothing.

    Raises AwsError if the account is another than the stack's, or functions cannot run images.
    """
    asked = session.flags.images
    declared = [
        (name, each)
        for name, spec in session.project.images.items()
        if not asked or name in asked
        for each in spec.functions
    ]
    check_caller(session)
    plain = [(name, each) for name, each in declared if each.stack is None]
    clients = clients_of(session, (each for _, each in plain))
    found = ask_all(lambda pair: (pair, clients[pair[1].region].read(str(pair[1]))), plain)
    packages = {pair: live.package if live else None for pair, live in found}
    AwsError.check(_zips(packages))
    return tuple(
        FirstFunction(image=name, function=each, state=_state(each, packages.get((name, each))))
        for name, each in declared
    )


def _zips(packages: Mapping[tuple[str, Function], str | None]) -> Iterator[Problem]:
    for (image, function), package in packages.items():
        if package not in {None, IMAGE}:
            yield zip_function(str(function), image)


def _state(function: Function, package: str | None) -> State:
    if function.stack is not None:
        return "of its CloudFormation stack"
    return "exists" if package else "to be created"


def next_steps(functions: Iterable[FirstFunction]) -> Iterator[str]:
    """Yield what remains to be done, in order."""
    some = tuple(functions)
    if any(each.state != "exists" for each in some):
        yield (
            "next: create the functions from these images with your tool: invoke outputs --format tfvars, or "
            "cdk, or --ssm"
        )
    yield (
        "then: invoke deploy" if some else "next: declare functions, or hand the images over: invoke outputs"
    )
