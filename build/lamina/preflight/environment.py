"""Variables of ENV that break Lambda's runtime, and runtimes whose support ends."""

from __future__ import annotations

import datetime
import re
from collections.abc import Iterator, Mapping

from lamina.preflight.fault import Fault, Rule
from lamina.preflight.view import ImageView, Variable

VARIABLES = Rule(
    id="LAM614",
    slug="runtime-environment",
    summary="ENV that hides Lambda's own folders, or a name that Lambda sets itself",
    why="the runtime does not find its libraries, or the value is replaced when the function starts",
    logs=(
        r"error while loading shared libraries: libpython",
        r"python3?: command not found",
    ),
    advice="keep the old value: ENV PATH=/my/bin:$PATH",
)
SUPPORT = Rule(
    id="LAM615",
    slug="runtime-support",
    summary="a runtime whose support by Lambda has ended or ends within 90 days",
    why="AWS stops updating its image, and later refuses to create and update functions on it",
)
RULES = (VARIABLES, SUPPORT)
_KEEPS: Mapping[str, str] = {"PATH": "/var/lang/bin", "LD_LIBRARY_PATH": "/var/lang/lib"}
"""Variable -> the folder that must stay in it."""
_RESERVED = frozenset(
    {
        *("_HANDLER", "_X_AMZN_TRACE_ID", "AWS_REGION", "AWS_EXECUTION_ENV", "AWS_LAMBDA_FUNCTION_NAME"),
        *("AWS_LAMBDA_FUNCTION_MEMORY_SIZE", "AWS_LAMBDA_FUNCTION_VERSION", "AWS_LAMBDA_INITIALIZATION_TYPE"),
        *("AWS_LAMBDA_LOG_GROUP_NAME", "AWS_LAMBDA_LOG_STREAM_NAME", "AWS_LAMBDA_RUNTIME_API"),
        *("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN"),
    }
)
# https://docs.aws.amazon.com/lambda/latest/dg/configuration-envvars.html#configuration-envvars-runtime
SUPPORT_ENDS: Mapping[tuple[int, int], datetime.date] = {
    (3, 6): datetime.date(2022, 7, 18),
    (3, 7): datetime.date(2023, 12, 4),
    (3, 8): datetime.date(2024, 10, 14),
    (3, 9): datetime.date(2025, 12, 15),
    (3, 10): datetime.date(2026, 10, 31),
    (3, 11): datetime.date(2027, 6, 30),
    (3, 12): datetime.date(2028, 10, 31),
    (3, 13): datetime.date(2029, 6, 30),
    (3, 14): datetime.date(2029, 6, 30),
}
"""Python -> the day on which Lambda deprecates its runtime."""
SUPPORT_SOURCE = "https://docs.aws.amazon.com/lambda/latest/dg/lambda-runtimes.html"
SUPPORT_READ = datetime.date(2025, 12, 1)
"""The day of which the table is."""
_SOON = datetime.timedelta(days=90)
_OLD_LIBRARIES = ((3, 8), (3, 9), (3, 10))
"""Runtimes in which boto3 is found through PYTHONPATH."""


def variable_faults(view: ImageView) -> Iterator[Fault]:
    """Yield variables that break the runtime or have no effect."""
    if not view.is_lambda:
        return
    for name, each in view.final.variables.items():
        if name in _RESERVED:
            yield _fault(
                view,
                each,
                message=f"ENV {name} of {view.name} has no effect: Lambda sets {name} itself",
                hint=f"drop it, or use another name than {name}",
                certainty="hint",
                unless="the image is used outside Lambda too",
            )
        elif view.base.on_runtime and name in _KEEPS and not _keeps(each, _KEEPS[name], name):
            yield _fault(
                view,
                each,
                message=f"ENV {name} of {view.name} drops {_KEEPS[name]}, where the runtime is",
                hint=f"ENV {name}={each.written}:${name}",
                certainty="likely",
                unless=f"nothing is looked up in {name}",
            )
    yield from _python_path(view)


def _fault(
    view: ImageView, variable: Variable, *, message: str, hint: str, certainty: str, unless: str
) -> Fault:
    return view.fault(
        VARIABLES,
        file=variable.file,
        line=variable.line,
        message=message,
        hint=hint,
        certainty="hint" if certainty == "hint" else "likely",
        unless=unless,
    )


def _keeps(variable: Variable, folder: str, name: str) -> bool:
    return folder in variable.written or re.search(rf"\$\{{?{name}\b", variable.written) is not None


def _python_path(view: ImageView) -> Iterator[Fault]:
    """Yield a PYTHONPATH that hides the boto3 of an older runtime from functions that use it."""
    found = view.final.variables.get("PYTHONPATH")
    if found is None or not view.base.on_runtime or view.base.python not in _OLD_LIBRARIES:
        return
    if "/var/runtime" in found.written or "PYTHONPATH" in found.written:
        return
    uses = {need.partition(".")[0] for each in view.reached.values() for need in each.imports}
    if {"boto3", "botocore"} & uses and not {"boto3", "botocore"} & view.layout.required:
        yield _fault(
            view,
            found,
            message=f"ENV PYTHONPATH of {view.name} leaves out /var/runtime, where the runtime has boto3",
            hint=f"ENV PYTHONPATH={found.written}:/var/runtime, or add boto3 to the requirements",
            certainty="likely",
            unless="another step installs boto3",
        )


def support_faults(view: ImageView, today: datetime.date) -> Iterator[Fault]:
    """Yield a runtime whose support has ended, or ends soon."""
    ends = SUPPORT_ENDS.get(view.base.python) if view.base.python and view.base.on_runtime else None
    if ends is None or ends - today > _SOON:
        return
    version = ".".join(map(str, view.base.python or ()))
    age = (today - SUPPORT_READ).days
    table = f"AWS's table of {SUPPORT_READ}, {age} days old"
    when = f"ended on {ends}" if ends <= today else f"ends on {ends}"
    yield view.fault(
        SUPPORT,
        line=view.image.node.recipe.chain[-1].stage.line,
        message=f"Lambda's support for python{version} {when} ({table})",
        hint=f"build {view.name} FROM a newer runtime: {SUPPORT_SOURCE}",
        certainty="likely",
        unless="AWS has moved the date",
    )
