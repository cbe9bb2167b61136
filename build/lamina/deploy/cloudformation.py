"""The functions that are declared by their id in a CloudFormation stack: find their names."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import replace

from lamina.aws.clients import CONNECTIONS
from lamina.aws.cloudformation import functions_of
from lamina.declare.functions import Function
from lamina.deploy.stack import access_of
from lamina.errors import AwsError, ConfigError, LaminaError, Problem
from lamina.flow.session import Session
from lamina.identify.image import Image
from lamina.parallel import gather

_HASH = "[0-9A-F]{8}"
"""CDK makes a logical id of the parts of a construct's path and a hash of it:
https://docs.aws.amazon.com/cdk/v2/guide/identifiers.html
"""
_NOT_IN_IDS = re.compile(r"[^A-Za-z0-9]")


def with_names(session: Session, images: Mapping[str, Image]) -> Mapping[str, Image]:
    """Return images whose functions have the names that CloudFormation knows; see `named_functions`."""
    declared = {name: image.node.spec.functions for name, image in images.items()}
    made = named_functions(session, declared)
    return {name: _with_functions(image, made[name]) for name, image in images.items()}


def named_functions(
    session: Session, functions: Mapping[str, Iterable[Function]]
) -> Mapping[str, tuple[Function, ...]]:
    """Return the functions of images with the names that CloudFormation knows. Asks once for each stack.

    Raises:
        AwsError: a stack does not exist, has no such function, or cannot be read; all of them at once.
        ConfigError: two images declare one function.
    """
    declared = [(name, each) for name, some in functions.items() for each in some]
    stacks = sorted({each.stack for _, each in declared if each.stack})
    if not stacks:
        return {name: tuple(some) for name, some in functions.items()}
    clients = session.aws(access_of(session))

    def ask(stack: str) -> Mapping[str, str] | LaminaError | None:
        try:
            return functions_of(clients, stack)
        except AwsError as error:
            return error

    answers = dict(zip(stacks, gather(ask, stacks, threads=CONNECTIONS), strict=True))
    AwsError.check(
        dict.fromkeys(
            problem for each in answers.values() if isinstance(each, LaminaError) for problem in each.problems
        )
    )
    known = {stack: each for stack, each in answers.items() if not isinstance(each, LaminaError)}
    named = {(image, each): name_in_stack(each, known[each.stack]) for image, each in declared if each.stack}
    AwsError.check(
        replace(each, where=f"[tool.lamina.images.{image}] functions")
        for (image, _), each in named.items()
        if isinstance(each, Problem)
    )
    names = {key: each for key, each in named.items() if isinstance(each, str)}
    made = {
        name: tuple(_renamed(each, names.get((name, each))) for each in some)
        for name, some in functions.items()
    }
    ConfigError.check(_claimed_twice(made))
    return made


def name_in_stack(function: Function, functions: Mapping[str, str] | None) -> str | Problem:
    """Return the name of a function that is declared by its stack, or the problem.

    Args:
        functions: of the stack, logical id -> name; None if there is no such stack.
    """
    if functions is None:
        what = f"the stack {function.stack} does not exist"
        return Problem(what=what, hint="deploy it first, or correct its name: {stack} stands for --stack")
    if function.resource in functions:
        return functions[function.resource]
    construct = re.compile(f"{_shown(function.resource)}{_HASH}")
    found = [name for each, name in functions.items() if construct.fullmatch(each)]
    if len(found) == 1:
        return found[0]
    many = "several functions" if found else "no function"
    what = f"the stack {function.stack} has {many} {function.resource}"
    return Problem(
        what=what,
        allowed=", ".join(sorted(functions)) or "none: the stack has no function",
        hint="set id to one of these; or in CDK to the construct's whole path in its stack: <outer>/<inner>"
        if functions
        else None,
    )


def _shown(path: str) -> str:
    """Return what a logical id shows of a construct's path: no part that the one before ends with."""
    parts: list[str] = []
    for each in path.split("/"):
        if each != "Default" and not (parts and parts[-1].endswith(each)):
            parts.append(each)
    return _NOT_IN_IDS.sub("", "".join(each for each in parts if each != "Resource"))


def _renamed(function: Function, name: str | None) -> Function:
    return function if name is None else replace(function, name=name, stack=None)


def _with_functions(image: Image, functions: Iterable[Function]) -> Image:
    spec = replace(image.node.spec, functions=tuple(functions))
    return replace(image, node=replace(image.node, spec=spec))


def _claimed_twice(functions: Mapping[str, Iterable[Function]]) -> Iterable[Problem]:
    owners: dict[str, str] = {}
    for name, some in functions.items():
        for each in some:
            other = owners.setdefault(str(each), name)
            if other != name:
                yield Problem(
                    what=f"two images claim the function {each}: {other} and {name}",
                    where=f"[tool.lamina.images.{name}] functions",
                    allowed="one image per function: each deployment would undo the other's",
                )
