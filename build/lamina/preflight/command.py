"""Whether Lambda can start the ENTRYPOINT and CMD of an image."""

from __future__ import annotations

import posixpath
import re
from collections.abc import Iterator

from lamina.patterns import regex
from lamina.preflight.fault import Fault, Rule
from lamina.preflight.view import CLIENT, ImageView

COMMAND = Rule(
    id="LAM611",
    slug="command-form",
    summary="a CMD that is not one `module.function`, although the entrypoint is Lambda's own",
    why="the entrypoint passes its one argument to the runtime, which imports it",
    logs=(
        r"entrypoint requires the handler name to be the first argument",
        r"Runtime\.MalformedHandlerName",
        r"Bad handler '[^']*'",
        r"the 'package' argument is required to perform a relative import for '\.",
        r"Unable to import module '[^']*\s[^']*'",
    ),
    advice='write CMD ["module.function"], or set the command of the function',
)
CLIENTLESS = Rule(
    id="LAM612",
    slug="no-runtime-client",
    summary="an ENTRYPOINT that never asks Lambda for events, or a client that nothing installs",
    why="Lambda waits for the runtime API to be called, then stops the function",
    logs=(r"No module named '?awslambdaric",),
    general=(r"Runtime exited without providing a reason", r"Runtime\.InvalidEntrypoint"),
    advice="end the ENTRYPOINT in a runtime interface client (python -m awslambdaric), and install it",
)
RULES = (COMMAND, CLIENTLESS)
_SERVERS = frozenset(
    {
        *("uvicorn", "gunicorn", "hypercorn", "daphne", "waitress-serve", "flask", "fastapi", "streamlit"),
        *("celery", "uwsgi", "granian", "mangum", "nginx", "jupyter", "dagster", "airflow", "prefect"),
    }
)
_PLACEHOLDERS = frozenset({"echo", "true", "sleep", "tail", "bash", "sh"})
"""Programs in a CMD that nobody expects to be a function: the image may have another use."""
_PYTHON = regex(r"(?:.*/)?python(?:3(?:\.\d+)?)?")
_WORKS_ALONE = regex(r"AWS_LAMBDA_RUNTIME_API|awslambdaric|lambda_runtime|runtime/invocation")
_HANDLER = regex(r"[\w./-]+\.\w+")
_OVERRIDE = "the functions set their own command (ImageConfig.Command)"
_BRINGS_CLIENT = regex(r"awslambdaric|lambda-runtime-interface-client|aws-lambda-ric")
_INSTALLS = regex(
    r"\b(?:uv\s+sync|poetry\s+(?:install|sync)|pipenv\s+(?:install|sync)|pdm\s+(?:install|sync)|pixi|conda|mamba)\b"
)


def command_faults(view: ImageView) -> Iterator[Fault]:
    """Yield what Lambda cannot start."""
    if view.is_lambda:
        yield from _command(view)
        yield from _entrypoint(view)
        yield from _missing_client(view)


def _command(view: ImageView) -> Iterator[Fault]:
    functions = view.image.node.spec.functions
    if functions and all(each.command for each in functions):
        return
    start = view.command
    if start is None or not start.instruction.json or not start.instruction.words or view.has_adapter:
        return
    lambdas = view.entrypoint is None or "lambda-entrypoint" in " ".join(view.entrypoint.instruction.words)
    python = view.base.on_runtime if lambdas else _ends_in_client(view)
    if not view.starts_client or not (lambdas or python):
        return
    words = start.instruction.words
    why = _malformed(words, is_python=python, alone=lambdas)
    if why:
        text = ", ".join(f'"{word}"' for word in words)
        yield view.fault(
            COMMAND,
            file=start.file,
            line=start.instruction.line,
            message=f"CMD [{text}] of {view.name} {why}",
            hint=_advice(words),
            certainty="likely" if posixpath.basename(words[0]) in _PLACEHOLDERS else "certain",
            unless=_OVERRIDE,
        )


def _malformed(words: tuple[str, ...], *, is_python: bool, alone: bool) -> str | None:
    """Return why a command is not a handler; None if it may be one. alone: whether it must be one word."""
    first = words[0]
    if alone and len(words) > 1:
        return f"starts {first}, but Lambda's entrypoint takes one word, module.function"
    if not is_python:
        return None
    if re.search(r"\s", first.strip()) and not _HANDLER.fullmatch(first):
        return "is a command line, but the runtime imports it as module.function"
    if "." not in first:
        return "names no function: the runtime imports module.function"
    if first.startswith(("/", "./", "../")):
        return "begins with a path that Python cannot import: the runtime imports module.function"
    return None


def _advice(words: tuple[str, ...]) -> str:
    script = next((word for word in words if word.endswith(".py")), None)
    module = posixpath.splitext(script)[0].lstrip("./") if script else "module"
    served = next((word for word in words[1:] if re.fullmatch(r"[\w.]+:\w+", word)), None)
    if served:
        module = served.partition(":")[0]
        return f'CMD ["{module}.handler"] with an adapter such as Mangum, or the Lambda Web Adapter'
    if len(words) == 1 and re.fullmatch(r"[\w./]+:\w+", words[0]):
        return f'CMD ["{words[0].replace(":", ".").lstrip("./")}"]'
    return f'CMD ["{module}.handler"], with the function that takes event and context'


def _ends_in_client(view: ImageView) -> bool:
    words = view.entrypoint.instruction.words if view.entrypoint else ()
    return bool(words) and words[-1] == "awslambdaric"


def _entrypoint(view: ImageView) -> Iterator[Fault]:
    """Yield an ENTRYPOINT that is known to be another program than a runtime client."""
    start = view.entrypoint
    if start is None or view.starts_client or view.has_adapter:
        return
    command = view.command.instruction.words if view.command else ()
    if CLIENT.search(" ".join(command)):
        return
    program = _other_program(view, start.instruction.words or command)
    if program:
        yield view.fault(
            CLIENTLESS,
            file=start.file,
            line=start.instruction.line,
            message=f"ENTRYPOINT of {view.name} runs {program}, which is not a runtime interface client",
            hint=_entry_advice(view),
            certainty="likely",
            unless=f"{program} calls Lambda's runtime API, or the function sets its own entry point",
        )


def _entry_advice(view: ImageView) -> str:
    if view.base.on_runtime:
        return 'drop the ENTRYPOINT and write CMD ["module.function"]'
    return 'ENTRYPOINT ["python", "-m", "awslambdaric"], and CMD ["module.function"]'


def _other_program(view: ImageView, words: tuple[str, ...]) -> str | None:
    """Return the program that a command line runs if it is known to be no client; else None."""
    if len(words) == 1 and " " in words[0]:
        words = tuple(words[0].split())
    words = tuple(words[1:] if words[:1] == ("exec",) else words)
    if not words:
        return None
    name = posixpath.basename(words[0])
    if name in _SERVERS:
        return name
    if not _PYTHON.fullmatch(words[0]):
        return None
    rest = [word for word in words[1:] if word not in {"-u", "-O", "-B", "-I", "-E", "-s"}]
    if rest[:1] == ["-m"] and len(rest) > 1:
        if rest[1].partition(".")[0] in _SERVERS:
            return f"python -m {rest[1]}"
        script = f"{rest[1].replace('.', '/')}.py"
    else:
        script = rest[0] if rest and rest[0].endswith(".py") else ""
    if not script:
        return None
    origin = view.layout.files.get(posixpath.normpath(posixpath.join(view.layout.workdir, script)))
    content = view.content(origin) if origin else None
    if content is None or _WORKS_ALONE.search(content.decode("utf-8", "replace")):
        return None
    return f"python {script}"


def _missing_client(view: ImageView) -> Iterator[Fault]:
    """Yield an entrypoint whose client nothing installs."""
    start = view.entrypoint
    if start is None or view.base.system is None or view.base.language is not None:
        return
    if "awslambdaric" not in " ".join(start.instruction.words) or _may_have_client(view):
        return
    if not _is_clear(view):
        return
    yield view.fault(
        CLIENTLESS,
        file=start.file,
        line=start.instruction.line,
        message=f"ENTRYPOINT of {view.name} starts awslambdaric, the runtime interface client, "
        "which nothing installs",
        hint="RUN pip install awslambdaric",
        certainty="likely",
        unless=f"{view.base.name} contains it",
    )


def _may_have_client(view: ImageView) -> bool:
    """Whether a requirement, a lock or a step may bring the client."""
    if "awslambdaric" in view.layout.required:
        return True
    texts = [each.text for each in view.runs] + [
        each
        for stage in view.stages.values()
        for each in stage.text.split("\n")
        if each.startswith(("COPY", "ADD"))
    ]
    if any(_BRINGS_CLIENT.search(each) for each in texts):
        return True
    names = (
        "uv.lock",
        "poetry.lock",
        "Pipfile.lock",
        "pdm.lock",
        "pyproject.toml",
        "Pipfile",
        ".txt",
        ".in",
        ".yml",
    )
    for origin in view.kinds:
        if origin.endswith(names) and b"awslambdaric" in (view.content(origin) or b""):
            return True
    return False


def _is_clear(view: ImageView) -> bool:
    """Whether all images that are copied from are known."""
    own = view.image.node.recipe
    known = {"ghcr.io/astral-sh/uv"}
    for each in own.externals:
        name = each.name.partition("@")[0].rpartition(":")[0] or each.name
        base = next((stage.base for stage in view.stages.values() if stage.base.name == each.name), None)
        if name not in known and (base is None or base.system is None):
            return False
    return True
