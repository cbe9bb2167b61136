"""Match functions whose images no file builds with Dockerfiles, by the words of what they run. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from lamina.adopt.declared import Declared, ImageFunction
from lamina.adopt.naming import name_images, slug
from lamina.errors import Problem

_NOISE = frozenset(
    {
        *("var", "local", "module", "data", "each", "value", "key", "this", "terraform", "workspace", "aws"),
        *(
            "ecr",
            "repository",
            "repositories",
            "repo",
            "registry",
            "url",
            "urls",
            "uri",
            "uris",
            "arn",
            "name",
        ),
        *("image", "images", "docker", "container", "lambda", "lambdas", "function", "functions", "account"),
        *("id", "region", "dkr", "amazonaws", "com", "latest", "tag", "digest", "version", "sha", "commit"),
        *("env", "environment", "stage", "stack", "prefix"),
    }
)
"""Words in the address of an image that do not tell which one it is."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Matched:
    """What is known of functions by the words of their images.

    Attributes:
        declared: the declarations of all images, with those functions.
        functions: the ones with an image.
        left: the others.
    """

    declared: tuple[Declared, ...]
    functions: tuple[ImageFunction, ...]
    left: tuple[ImageFunction, ...]


def match_functions(
    functions: Sequence[ImageFunction],
    dockerfiles: Sequence[str],
    declared: Sequence[Declared],
    *,
    repository: str,
) -> Matched:
    """Give functions to the Dockerfiles whose names have exactly the words of the images that they run.

    ``var.audit_logs_image_uri`` is ``audit-logs``. A Dockerfile that a file builds already gets none.
    """
    built = {each.dockerfile for each in declared if each.deploys or each.elsewhere}
    made = _by_words(name_images(dockerfiles, {}, repository=repository, taken=()))
    owners = {
        function: dockerfile
        for function in functions
        if (dockerfile := made.get(_words(function.image))) and dockerfile not in built
    }
    run = {each.dockerfile: each for each in declared if each.dockerfile not in built}
    given = (
        replace(
            run.get(dockerfile, Declared(dockerfile=dockerfile, where=function.where)),
            functions=(function.name,) if function.name else (),
            resources=() if function.name else (function.label,),
            platform=function.platform,
            command=function.command,
            where=function.where,
            deploys=True,
        )
        for function, dockerfile in owners.items()
    )
    kept = (each for each in declared if each.dockerfile in built or each.dockerfile not in owners.values())
    left = tuple(each for each in functions if each not in owners)
    return Matched(declared=(*kept, *given), functions=tuple(owners), left=left)


def function_notes(matched: Matched, idle: Sequence[str]) -> Iterator[Problem]:
    """Yield what to check, and what to add by hand. idle: Dockerfiles without a function."""
    if matched.functions:
        names = ", ".join(dict.fromkeys(each.name or each.label for each in matched.functions))
        yield Problem(
            what=f"no block of Terraform builds the images of {names}: found by the names in image_uri",
            hint="check functions in [tool.lamina.images.<name>]",
        )
    alike = {(each.name or each.label, each.image, each.where): each for each in matched.left}
    for each in alike.values():
        last = each is [*alike.values()][-1]
        choice = f"; Dockerfiles without a function: {', '.join(idle)}" if idle and last else ""
        yield Problem(
            what=f"function {each.name or each.label} runs {each.image}, which no block of Terraform builds",
            where=each.where,
            hint=f'functions = ["{each.name or "…"}"] in [tool.lamina.images.<name>]{choice}',
        )


def _by_words(names: Mapping[str, str]) -> dict[frozenset[str], str]:
    """Return the words of a name -> its Dockerfile; nothing for words that several names have."""
    words = {path: _words(name) for path, name in names.items()}
    several = list(words.values())
    return {each: path for path, each in words.items() if each and several.count(each) == 1}


def _words(text: str) -> frozenset[str]:
    return frozenset(slug(text).split("-")) - _NOISE
