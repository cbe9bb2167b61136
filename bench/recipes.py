"""The Dockerfiles of the variants *before* and *seed*: the same functions, built in older ways.

*before* is the usual start of a caching plan: the whole repository is the context and is copied, installs
keep no cache, and functions install the packages of their base again. *seed* is the result of that plan:
targeted contexts, cache mounts, and functions that install only the packages their base is missing.
Both install the versions that the linked Dockerfiles of ``dockerfiles/`` install.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

_CA = "if [ -f /run/secrets/ca ]; then export PIP_CERT=/run/secrets/ca; fi; \\\n    "
# A stand-in runtime has a copy that Debian installed, which pip refuses to replace; AWS's has none.
_MAKE_ROOM = "rm -rf /usr/lib/python3/dist-packages/packaging* && "
_DYNAMO, _LABEL = "receipts/receipt_dynamo", "receipts/receipt_label"
_EMBEDDING, _WORDS = "receipts/embedding_step_functions", "receipts/word_label_step_functions"


@dataclass(frozen=True, slots=True, kw_only=True)
class BenchRecipe:
    """A Dockerfile and its ignore file. None: no ignore file, so the whole repository is the context."""

    dockerfile: str
    ignore: str | None = None


def _before(base: str, install: str, handler: str | None = None) -> BenchRecipe:
    """Copy the whole repository, so that any edit runs the install again."""
    lines = [
        f"FROM {base}",
        "COPY . /tmp/project/",
        f"RUN --mount=type=secret,id=ca \\\n    {_CA}cd /tmp/project && {install} && rm -rf /tmp/project",
    ]
    return BenchRecipe(dockerfile="\n".join([*lines, *_function(handler)]) + "\n")


def _seed(
    base: str, sources: tuple[str, ...], install: str | None, handler: str | None = None
) -> BenchRecipe:
    """Copy only the installed folders, keep pip's downloads in a cache mount, and leave tests out."""
    lines = [f"FROM {base}"]
    lines += [f"COPY {source} /tmp/{source}" for source in sources]
    if install:
        mounts = "--mount=type=cache,target=/root/.cache/pip --mount=type=secret,id=ca"
        lines.append(f"RUN {mounts} \\\n    {_CA}cd /tmp && {install}")
    kept = [*sources, *([f"{handler}/handler.py"] if handler else [])]
    ignore = ["*", *(f"!{path.rstrip('/')}" for path in kept), "**/__pycache__", "**/*.pyc", "**/tests"]
    return BenchRecipe(
        dockerfile="\n".join([*lines, *_function(handler)]) + "\n", ignore="\n".join(ignore) + "\n"
    )


def _function(handler: str | None) -> list[str]:
    return [f"COPY {handler}/handler.py /var/task/", 'CMD ["handler.handler"]'] if handler else []


def _pip(*what: str, constraints: tuple[str, ...], options: str = "") -> str:
    pins = " ".join(f"-c {folder}/constraints.txt" for folder in constraints)
    return f"pip install {options}{pins} {' '.join(what)}"


def recipes(variant: str, runtime: str) -> Mapping[str, BenchRecipe]:
    """Return image -> its Dockerfile, bases first. runtime: the base of all images, with its tag."""
    dynamo, label = "base-receipt-dynamo:stable", "base-receipt-label:stable"
    needs = f"-r {_EMBEDDING}/requirements.txt"
    both, all_three = (_DYNAMO, _LABEL), (_DYNAMO, _LABEL, _EMBEDDING)
    if variant == "before":
        plain, forced = "--no-cache-dir ", "--no-cache-dir --force-reinstall "
        packages = _pip(f"./{_DYNAMO}", f"./{_LABEL}", constraints=both, options=forced)
        return {
            "base-receipt-dynamo": _before(
                runtime, _MAKE_ROOM + _pip(f"./{_DYNAMO}", constraints=(_DYNAMO,), options=plain)
            ),
            "base-receipt-label": _before(dynamo, _pip(f"./{_LABEL}", constraints=both, options=plain)),
            "lambda-embedding": _before(
                label, f"{packages} && {_pip(needs, constraints=all_three, options=plain)}", _EMBEDDING
            ),
            "lambda-word-label": _before(
                dynamo, _pip(f"./{_DYNAMO}", constraints=(_DYNAMO,), options=forced), _WORDS
            ),
        }
    # Without --upgrade pip leaves the packages of the base alone.
    pins = tuple(f"{folder}/constraints.txt" for folder in all_three)
    return {
        "base-receipt-dynamo": _seed(
            runtime, (f"{_DYNAMO}/",), _MAKE_ROOM + _pip(f"./{_DYNAMO}", constraints=(_DYNAMO,))
        ),
        "base-receipt-label": _seed(dynamo, (f"{_LABEL}/", pins[0]), _pip(f"./{_LABEL}", constraints=both)),
        "lambda-embedding": _seed(
            label, (f"{_EMBEDDING}/requirements.txt", *pins), _pip(needs, constraints=all_three), _EMBEDDING
        ),
        "lambda-word-label": _seed(dynamo, (), None, _WORDS),
    }
