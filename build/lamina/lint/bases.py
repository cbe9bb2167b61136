"""Rules about base images: tags that move, arguments that change, steps that run on the base."""

from __future__ import annotations

import re
from collections.abc import Iterator

from lamina.declare.machine import family, normal_platform
from lamina.declare.recipe import ResolvedStage
from lamina.identify.image import STABLE, Image
from lamina.lint.findings import Edit, Fix, Hit
from lamina.lint.rule import LintRule
from lamina.lint.survey import LintInput
from lamina.refs import Reference

_MOVING = (None, "latest")
_VARIABLE = re.compile(r"\$\{?(\w+)(:?[-+?])?.*")
_BUSTER = re.compile(
    r"(?i)(.*_)?(cache_?bust(er)?|bust_?cache)|no_?cache|build_?(date|time|timestamp|number|id)|timestamp|"
    r"(git|vcs)_?(sha|commit|rev|ref)|commit(_?(sha|hash))?"
)
_ARCHITECTURE = re.compile(r":[^:/]*-(arm64|aarch64|x86_64|amd64)$")
_DATE = re.compile(r"\$\(\s*date\b|`\s*date\b")


def _hit(image: Image, line: int, message: str, hint: str | None = None, fix: Fix | None = None) -> Hit:
    file = image.node.recipe.dockerfile.path
    return Hit(image=image.name, file=file, line=line, message=message, hint=hint, fix=fix, step=True)


def _moving_tag(survey: LintInput) -> Iterator[Hit]:
    for image in survey.images.values():
        for stage in image.node.recipe.stages:
            for each in stage.externals:
                known = each.name in survey.lock.pins or each.name not in {
                    e.name for e in image.node.externals
                }
                reference = Reference.parse(each.name) if not known else None
                if reference and reference.digest is None and reference.tag in _MOVING:
                    yield _hit(
                        image,
                        each.line,
                        f"{each.name} is not pinned, neither by its tag nor by lamina.lock",
                        hint="write a version tag, or pin the digest: invoke lock",
                    )


def _own_latest(survey: LintInput) -> Iterator[Hit]:
    for image in survey.images.values():
        own = {spelling: parent for parent, all_ in image.node.parents.items() for spelling in all_}
        for spelling, parent in own.items():
            tag = Reference.parse(spelling).tag
            lines = _renamed(image, spelling, f"{parent}:{STABLE}") if tag not in {None, STABLE} else ()
            for line, new in lines:
                file = image.node.recipe.dockerfile.path
                yield _hit(
                    image,
                    line,
                    f"{spelling} is a base of this project, with a tag that moves with every push",
                    fix=(Edit(file=file, start=line, end=line + 1, lines=(new,)),),
                    hint=f"write {parent}:{STABLE}",
                )
    for image in survey.images.values():
        for each in image.node.externals:
            reference = Reference.parse(each.name)
            named = (one for one in survey.images if survey.project.repository(one) == reference.repository)
            if reference.host and (ours := next(named, None)):
                yield _hit(
                    image,
                    each.line,
                    f"{each.name} is the pushed image of the base {ours}, not the one in the worktree",
                    hint=f"ARG BASE_IMAGE={ours}:{STABLE} and FROM ${{BASE_IMAGE}}",
                )


def _renamed(image: Image, spelling: str, name: str) -> Iterator[tuple[int, str]]:
    """Yield the lines of FROM, COPY --from and global ARG that contain a name, with it replaced."""
    dockerfile = image.node.recipe.dockerfile
    lines = [line.removesuffix("\r") for line in dockerfile.text.split("\n")]
    copies = (
        each for stage in dockerfile.stages for each in stage.instructions if each.flag("from") == spelling
    )
    heads = (
        each for each in dockerfile.header if any(word.partition("=")[2] == spelling for word in each.words)
    )
    numbers = {each.line for each in (*copies, *heads)}
    numbers |= {stage.line for stage in dockerfile.stages if stage.base == spelling}
    whole = re.compile(rf"(?<![\w./-]){re.escape(spelling)}(?![\w./-])")
    for number in sorted(numbers):
        renamed = whole.sub(name, lines[number - 1])
        if renamed != lines[number - 1]:
            yield number, renamed


def _base_argument(survey: LintInput) -> Iterator[Hit]:
    for image in survey.images.values():
        dockerfile = image.node.recipe.dockerfile
        defaults = {word.partition("=")[0]: word for each in dockerfile.header for word in each.words}
        for stage in image.node.recipe.stages:
            found = _VARIABLE.fullmatch(stage.stage.base)
            word = defaults.get(found[1]) if found else None
            if found is None or word is None or "=" in word:
                continue
            name, path = found[1], dockerfile.path
            given = image.node.spec.build_args.get(name)
            parent = next((one for one, all_ in image.node.parents.items() if given in all_), None)
            line = next(each.line for each in dockerfile.header if name in each.words)
            message = f"FROM {stage.stage.base}: ARG {name} has no default"
            new = f"ARG {name}={parent}:{STABLE}"
            alone = dockerfile.text.split("\n")[line - 1].strip().split() == ["ARG", name]
            yield _hit(
                image,
                line,
                message,
                fix=(Edit(file=path, start=line, end=line + 1, lines=(new,)),) if parent and alone else None,
                hint=f"ARG {name}={parent or 'base-…'}:{STABLE}",
            )


def _not_lazy(survey: LintInput) -> Iterator[Hit]:
    for image in survey.images.values():
        for each in image.node.recipe.instructions:
            if each.name in {"RUN", "WORKDIR"}:
                yield _hit(
                    image,
                    each.line,
                    f"{each.name} runs on the base image, which must be pulled and unpacked",
                    hint="install in a stage of its own and copy the result: FROM … AS deps, RUN pip install "
                    "--target /rootfs/var/task …, then COPY --link --from=deps /rootfs/ /; in a stage FROM "
                    "--platform=$BUILDPLATFORM for arm64, pip needs --platform manylinux2014_aarch64 "
                    "--only-binary=:all: (uv: --python-platform aarch64-manylinux2014)"
                    if each.name == "RUN"
                    else "Lambda's runtime starts in /var/task: write absolute paths",
                )
                break


def _platform(survey: LintInput) -> Iterator[Hit]:
    for image in survey.images.values():
        recipe = image.node.recipe
        for stage in recipe.chain:
            written = stage.stage.platform
            if tagged := _tagged(stage, recipe.platform):
                yield _hit(
                    image,
                    stage.stage.line,
                    f"FROM {stage.base} is for {tagged}, but {image.name} is for {recipe.platform}",
                    hint=f'remove it from the tag, or set platform = "{tagged}" in [tool.lamina]',
                )
            if not written or "$" in written:
                continue
            made_for = stage.made_for or recipe.platform
            wrong = family(made_for) != family(recipe.platform)
            configured = bool(survey.project.settings.platform)
            line = recipe.dockerfile.text.split("\n")[stage.stage.line - 1].removesuffix("\r")
            new = line.replace(f"--platform={written} ", "", 1)
            then = f'{", or" if wrong else ";"} set platform = "{made_for}" in [tool.lamina]'
            edit = Edit(
                file=recipe.dockerfile.path, start=stage.stage.line, end=stage.stage.line + 1, lines=(new,)
            )
            yield _hit(
                image,
                stage.stage.line,
                f"FROM --platform={written}, but {image.name} is for {recipe.platform}"
                if wrong
                else f"FROM --platform={written}: the image cannot be built for another platform",
                fix=(edit,) if configured and made_for == recipe.platform and new != line else None,
                hint="remove --platform" + ("" if configured and not wrong else then),
            )


def _tagged(stage: ResolvedStage, platform: str) -> str | None:
    """Return the platform that a base's tag names (``3.13-arm64``); None if it is the image's."""
    found = _ARCHITECTURE.search(stage.base)
    named = normal_platform(found[1]) if found else None
    return named if named and named != family(platform) else None


def _syntax(survey: LintInput) -> Iterator[Hit]:
    for image in survey.images.values():
        dockerfile = image.node.recipe.dockerfile
        lines = dockerfile.text.split("\n")
        for each in dockerfile.directives:
            if each.startswith("syntax="):
                number = next(at for at, line in enumerate(lines, start=1) if "syntax" in line)
                yield Hit(
                    image=image.name,
                    file=dockerfile.path,
                    line=number,
                    message=f"# {each}: this frontend is pulled before every build; BuildKit has its own",
                    hint="remove the line, unless the Dockerfile needs a feature of that frontend",
                )


def _cache_busters(survey: LintInput) -> Iterator[Hit]:
    for image in survey.images.values():
        for stage in image.node.recipe.stages:
            for each in (*image.node.recipe.dockerfile.header, *stage.stage.instructions):
                names = [word.partition("=")[0] for word in each.words] if each.name == "ARG" else []
                for name in filter(_BUSTER.fullmatch, names):
                    yield _hit(
                        image,
                        each.line,
                        f"ARG {name} differs in every build, so every step below it runs again",
                        hint="remove it; put the commit or the date into a tag or an annotation",
                    )
                text = " ".join((*each.words, *(one.content for one in each.heredocs)))
                if each.name in {"RUN", "ENV", "LABEL"} and _DATE.search(text):
                    yield _hit(
                        image,
                        each.line,
                        f"{each.name} writes the time into the image: no two builds are identical",
                        hint="remove it; the registry records when the image was pushed",
                    )


RULES = (
    LintRule(
        id="LAM301",
        slug="moving-tag",
        severity="warning",
        summary="FROM with `:latest` or without a tag, not pinned by `lamina.lock`",
        why="the same Dockerfile gives a different image after every push to that tag",
        fixes="by hand",
        find=_moving_tag,
    ),
    LintRule(
        id="LAM302",
        slug="own-base-latest",
        severity="warning",
        summary="a base of the project with a tag that moves",
        why="a cache hit is never certain for an image built FROM a moving tag",
        fixes="writes `base-x:stable`, which a build replaces by the base's digest",
        find=_own_latest,
    ),
    LintRule(
        id="LAM303",
        slug="base-argument",
        severity="warning",
        summary="`FROM ${BASE_IMAGE}` whose ARG has no default",
        why="each caller may pass a different base, and a build without the argument has none",
        fixes="adds a default, if the project's arguments name one of its bases",
        find=_base_argument,
    ),
    LintRule(
        id="LAM304",
        slug="not-lazy",
        severity="note",
        summary="RUN or WORKDIR on an image's base",
        why="the base must be downloaded and unpacked, and every change of it reruns the step",
        fixes="by hand. In a stage `FROM --platform=$BUILDPLATFORM`, packages are installed for the build "
        "machine: for arm64 images, pip needs `--platform manylinux2014_aarch64 --only-binary=:all:` and uv "
        "`--python-platform aarch64-manylinux2014`",
        find=_not_lazy,
    ),
    LintRule(
        id="LAM305",
        slug="platform",
        severity="warning",
        summary="a platform written into FROM, or one that is not the image's",
        why="an image of another platform does not start on Lambda",
        fixes="removes it, if it is the image's configured platform",
        find=_platform,
    ),
    LintRule(
        id="LAM306",
        slug="syntax-pull",
        severity="note",
        summary="`# syntax=`",
        why="one more image to pull, from a registry that may be slow, unreachable or rate-limited",
        fixes="by hand",
        find=_syntax,
    ),
    LintRule(
        id="LAM307",
        slug="cache-buster",
        severity="warning",
        summary="arguments and commands that differ in every build: `CACHE_BUST`, `BUILD_DATE`, `$(date)`",
        why="the steps below are never cache hits",
        fixes="by hand",
        find=_cache_busters,
    ),
)
