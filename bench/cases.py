"""The cases: the edit of the repository before each command, and the variants that take part."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

from bench.locks import ADDED
from bench.monorepo import FILES, IMAGES, LINES
from bench.tree import TEST_FILE, WAITING, Tree, waiting_step
from bench.variants import VARIANTS
from bench.watching import IMAGE, WATCH
from lamina.errors import Problem, SelectionError, did_you_mean, nearest

INIT = "init"
"""The case in which nothing is built: seconds are those of the processor, in a container of the image."""
WARM, EMPTY, SCALE, ARM64, PLAN, REAL, ADOPT = "warm", "empty", "scale", "arm64", "plan", "real", "adopt"
SPREAD = "spread"
WITHOUT_ENGINE = (PLAN, ADOPT)
"""Groups in which nothing is built."""
WITH_MEMORY = (*WITHOUT_ENGINE, REAL)
"""Groups whose peak memory is measured, by one more run."""
_LINKED = ("bake", "lamina")
_ABSENT = {
    WARM: "only lamina watches",
    EMPTY: "it needs a Docker engine",
    SCALE: "its functions install nothing, which is what this variant is about",
    ARM64: "its steps run on the base, which takes an emulator",
    PLAN: "only lamina plans without building",
    SPREAD: "its functions install nothing, which is what this variant is about",
    REAL: "its functions install nothing, which is what this variant is about",
    ADOPT: "only lamina plans without building",
}
"""Group -> why some variants take no part in it."""


def _nothing(_tree: Tree, _index: int) -> None:
    """Edit nothing."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """A situation in the daily life of people who build images.

    group: cases of a group share an engine and a repository. about: one line for the documentation. edit: the
    edit before run number n. most: the highest possible number of runs. seconds: how long to repeat the case,
    if longer than others, for example because download times vary. one: whether a person would build only the
    edited image. no_engine: whether the command finds no Docker. size: the number of images. files: how many
    files the repository has. nodes: of the builder, if it is not the engine's own.
    """

    name: str
    group: str
    about: str
    edit: Callable[[Tree, int], None] = _nothing
    most: int | None = None
    seconds: float = 0.0
    one: bool = False
    no_engine: bool = False
    size: int = 0
    files: int = 0
    nodes: int = 0
    variants: tuple[str, ...] = VARIANTS


def _handler(tree: Tree, index: int) -> None:
    tree.append(tree.handler, f"# handler {index}")


def _base_code(tree: Tree, index: int) -> None:
    tree.append(tree.base_code, f"# base code {index}")


def _dependency(tree: Tree, index: int) -> None:
    tree.require(tuple(ADDED)[index])


def _test_file(tree: Tree, index: int) -> None:
    tree.append(TEST_FILE, f"# test {index}")


def _forget(tree: Tree, _index: int) -> None:
    tree.forget()


def _wait(tree: Tree, index: int) -> None:
    tree.forget()
    for image in tree.images:
        tree.append(f"dockerfiles/{image}/Dockerfile", waiting_step(f"{image} {index}"))


def _spread() -> Iterator[Case]:
    for name, nodes in (("one-builder", 1), ("two-builders", 2)):
        yield Case(
            name=name,
            group=SPREAD,
            about=f"{WAITING} images whose steps wait for three seconds each, one at a time on a BuildKit; "
            f"{nodes} BuildKit{'s' * (nodes > 1)}",
            edit=_wait,
            size=WAITING,
            nodes=nodes,
            variants=_LINKED,
        )


def _scale(size: int) -> Iterator[Case]:
    yield Case(
        name=f"scale-{size}",
        group=SCALE,
        about=f"{size} functions of one file each, in the registry, nothing changed",
        size=size,
        variants=_LINKED,
    )
    yield Case(
        name=f"scale-{size}-edit",
        group=SCALE,
        about=f"one of {size} edited",
        edit=_handler,
        size=size,
        variants=_LINKED,
    )


def _real() -> Iterator[Case]:
    whole = f"a monorepo of {IMAGES} images, {FILES:,} files and {LINES:,} lines of Python"
    edit: Callable[[Tree, int], None]
    for name, about, edit in (
        ("real-init", f"`lamina init` in {whole}", _forget),
        ("real-plan", "a plan of it, the first", _forget),
        ("real-plan-again", "a plan of it, the second", _nothing),
    ):
        yield Case(name=name, group=ADOPT, about=about, edit=edit, size=IMAGES, variants=("lamina",))
    for name, about, edit in (
        ("real-unchanged", "its images linked and without installs, in the registry, unchanged", _nothing),
        ("real-handler", "the same, a handler edited", _handler),
        ("real-base-code", "the same, a package edited that all images have", _base_code),
    ):
        yield Case(name=name, group=REAL, about=about, edit=edit, size=IMAGES, variants=_LINKED)


CASES: tuple[Case, ...] = (
    Case(name="cold", group=WARM, about="an engine that has never built; images stay in it", seconds=100),
    Case(name="unchanged", group=WARM, about="again, nothing changed"),
    Case(name="handler", group=WARM, about="a line of a function's handler edited", edit=_handler, one=True),
    Case(name="base-code", group=WARM, about="a line of the lowest base's package edited", edit=_base_code),
    Case(
        name="dependency",
        group=WARM,
        about="a dependency added to that package",
        edit=_dependency,
        most=len(ADDED),
    ),
    Case(name="test-file", group=WARM, about="a line of its tests edited", edit=_test_file),
    Case(name="unchanged-empty", group=EMPTY, about="an empty runner, a warm registry, nothing changed"),
    Case(name="handler-empty", group=EMPTY, about="the same, a handler edited", edit=_handler),
    Case(name="base-code-empty", group=EMPTY, about="the same, the base's package edited", edit=_base_code),
    Case(
        name="append-no-engine",
        group=EMPTY,
        about="a handler edited, on a runner without Docker",
        edit=lambda tree, index: tree.append(tree.handler, f"# appended {index}"),  # not yet in the registry
        no_engine=True,
        variants=("lamina",),
    ),
    Case(name="branch", group=WARM, about="another branch was built; back on the first"),
    Case(name=INIT, group=WARM, about="the CPU with which lambda-embedding starts, once it is built"),
    Case(
        name=WATCH,
        group=WARM,
        about=f"a handler of {IMAGE} saved under `lamina watch --smoke`, until its answer",
        variants=("lamina",),
    ),
    *(case for size in (10, 50, 100) for case in _scale(size) if not case.name.endswith("-edit")),
    *(case for size in (10, 50, 100) for case in _scale(size) if case.name.endswith("-edit")),
    Case(name="arm64-cold", group=ARM64, about="cold for linux/arm64", variants=_LINKED),
    Case(
        name="arm64-handler",
        group=ARM64,
        about="a handler edited, for linux/arm64",
        edit=_handler,
        one=True,
        variants=_LINKED,
    ),
    *_spread(),
    *(
        Case(
            name=name,
            group=PLAN,
            about=f"a plan of {size} images over {files:,} files, {state}",
            edit=edit,
            size=size,
            files=files,
            variants=("lamina",),
        )
        for name, size, files, state, edit in (
            ("plan-20", 20, 2_500, "the first", _forget),
            ("plan-100", 100, 50_000, "the first", _forget),
            ("plan-100-again", 100, 50_000, "the second", _nothing),
        )
    ),
    *_real(),
)
BY_NAME = {case.name: case for case in CASES}
_RANKS = {key: index for index, key in enumerate((case, way) for case in BY_NAME for way in VARIANTS)}
QUICK_CASES = ("cold", "unchanged", "handler", "handler-empty", "scale-10", "scale-10-edit", "plan-20")
QUICK_VARIANTS = ("bake", "lamina")


@dataclass(frozen=True, slots=True, kw_only=True)
class Selection:
    """The cases and variants to measure, in the order of CASES and VARIANTS."""

    cases: tuple[str, ...]
    variants: tuple[str, ...]

    def of(self, variant: str, group: str, size: int | None = None) -> tuple[Case, ...]:
        """Return the chosen cases of a group for a variant. size: only those with this number of images."""
        return tuple(
            case
            for case in map(BY_NAME.__getitem__, self.cases)
            if case.group == group and variant in case.variants and size in {None, case.size}
        )

    def sizes(self, group: str) -> tuple[int, ...]:
        """Return the numbers of images in the chosen cases of a group."""
        return tuple(dict.fromkeys(case.size for case in CASES if case.group == group and self.has(case)))

    def has(self, case: Case) -> bool:
        """Whether a case is chosen."""
        return case.name in self.cases

    @property
    def absent(self) -> Iterator[tuple[str, str, str]]:
        """Case, variant and reason of each chosen pair in which the variant takes no part."""
        for case in map(BY_NAME.__getitem__, self.cases):
            for variant in self.variants:
                if variant not in case.variants:
                    yield case.name, variant, _ABSENT[case.group]


def select(cases: Iterable[str], variants: Iterable[str], *, quick: bool = False) -> Selection:
    """Return the named cases and variants; without names all, or the quick ones.

    Raises SelectionError for unknown names.
    """
    named_cases, named_variants = tuple(cases), tuple(variants)
    SelectionError.check(
        problem
        for kind, names, known in (
            ("case", named_cases, tuple(BY_NAME)),
            ("variant", named_variants, VARIANTS),
        )
        for problem in _unknown(kind, names, known)
    )
    chosen = named_cases or (QUICK_CASES if quick else tuple(BY_NAME))
    ways = named_variants or (QUICK_VARIANTS if quick else VARIANTS)
    return Selection(
        cases=tuple(name for name in BY_NAME if name in chosen),
        variants=tuple(name for name in VARIANTS if name in ways),
    )


def rank(case: str, variant: str) -> int:
    """Return a row's position among all rows."""
    return _RANKS[case, variant]


def _unknown(kind: str, names: Iterable[str], known: tuple[str, ...]) -> Iterator[Problem]:
    for name in names:
        if name not in known:
            yield Problem(
                what=f"there is no {kind} {name!r}",
                where=f"--{kind}",
                allowed=", ".join(known),
                hint=did_you_mean(nearest(name, known, cutoff=0.0)),
            )
