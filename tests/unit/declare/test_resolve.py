"""The meaning of Dockerfiles. Where BuildKit is surprising, the test states what docker 28.5 did."""

from __future__ import annotations

from typing import Any

import pytest

from lamina.declare.dockerfile import parse_dockerfile
from lamina.declare.machine import GLOBAL_ARGS
from lamina.declare.recipe import Recipe, SourceFiles
from lamina.declare.resolve import resolve
from lamina.errors import ConfigError


def recipe(*lines: str, **given: Any) -> Recipe:
    wanted = {"platform": "linux/arm64", "build_platform": "linux/amd64", **given}
    return resolve(parse_dockerfile("\n".join(lines) + "\n", "Dockerfile"), **wanted)


def refusal(*lines: str, **given: Any) -> str:
    with pytest.raises(ConfigError) as caught:
        recipe(*lines, **given)
    return str(caught.value)


def paths(found: Recipe) -> list[tuple[str, ...] | None]:
    return [source.paths for source in found.sources]


def bases(found: Recipe) -> list[str]:
    return [external.name for external in found.externals]


# FROM


@pytest.mark.parametrize(
    ("lines", "args", "base"),
    [
        (("FROM python:3.13",), {}, "python:3.13"),
        (("ARG V=3.13", "FROM python:${V}"), {}, "python:3.13"),
        (("ARG V=3.13", "FROM python:$V"), {"V": "3.12"}, "python:3.12"),
        (("ARG A=1", "ARG B=x$A", "FROM python:$B"), {}, "python:x1"),
        (("ARG V", "FROM python:${V:-3.11}"), {}, "python:3.11"),
        (("ARG BASE_IMAGE=base:stable", "FROM ${BASE_IMAGE}"), {}, "base:stable"),
        (("ARG BASE_IMAGE=base", "FROM ${BASE_IMAGE}"), {"BASE_IMAGE": "r.io/b@sha256:x"}, "r.io/b@sha256:x"),
        (("ARG TARGETARCH", "FROM base-$TARGETARCH"), {}, "base-arm64"),
        (("FROM base-${TARGETARCH}",), {}, "base-arm64"),
        (('ARG V="3.13"', "FROM python:${V}"), {}, "python:3.13"),
        (("FROM base-${TARGETARCH}", "ARG TARGETARCH"), {"TARGETARCH": "mine"}, "base-mine"),
        (("FROM base-${TARGETSTAGE} AS s",), {"TARGETSTAGE": "mine"}, "base-mine"),
        (("FROM base${TARGETOSVERSION-unset}",), {}, "base"),
    ],
)
def test_from_is_expanded_with_the_arguments_before_it(
    lines: tuple[str, ...], args: dict[str, str], base: str
) -> None:
    assert bases(recipe(*lines, args=args)) == [base]


def test_an_argument_of_a_stage_says_nothing_to_the_next_from() -> None:
    told = refusal("FROM a", "ARG B=b", "FROM $B")

    assert told == (
        "Dockerfile:3: FROM $B names no image: build argument B has no value\n"
        '  next: B = "…" in [tool.lamina.args], or ARG B=… before the first FROM'
    )


@pytest.mark.parametrize(
    ("lines", "platform"),
    [
        (("FROM a",), None),
        (("FROM --platform=linux/amd64 a",), "linux/amd64"),
        (("ARG P=linux/amd64", "FROM --platform=$P a"), "linux/amd64"),
        (("FROM --platform=$TARGETPLATFORM a",), "linux/arm64"),
        (("FROM --platform=$BUILDPLATFORM a",), "$BUILDPLATFORM"),
        (("FROM --platform=linux/${BUILDARCH} a",), "linux/$BUILDARCH"),
        (("ARG BUILDPLATFORM=linux/s390x", "FROM --platform=$BUILDPLATFORM a"), "linux/s390x"),
    ],
)
def test_a_stage_platform_is_expanded_but_for_the_machine_at_hand(
    lines: tuple[str, ...], platform: str | None
) -> None:
    assert recipe(*lines).stages[0].platform == platform


def test_scratch_is_a_stage_without_an_image() -> None:
    assert bases(recipe("FROM scratch")) == []


# Which stages count


def test_only_used_stages_are_in_a_recipe() -> None:
    found = recipe(
        "FROM a AS unused",
        "COPY unused /",
        "FROM b AS below",
        "FROM c AS copied",
        "COPY copied /",
        "FROM d AS mounted",
        "FROM below",
        "COPY --from=COPIED /x /",
        "RUN --mount=from=mounted,target=/m ls",
    )

    assert bases(found) == ["b", "c", "d"]
    assert paths(found) == [("copied",)]


def test_stages_are_used_by_number() -> None:
    assert bases(recipe("FROM a", "FROM b", "FROM scratch", "COPY --from=0 / /")) == ["a"]


def test_a_target_ends_the_recipe() -> None:
    lines = ("FROM a AS one", "FROM b AS two", "FROM one AS Three")

    assert bases(recipe(*lines, target="two")) == ["b"]
    assert bases(recipe(*lines, target="THREE")) == ["a"]


@pytest.mark.parametrize("target", ["four", "0"])  # BuildKit takes no number here
def test_an_unknown_target_is_answered_with_the_stages(target: str) -> None:
    told = refusal("FROM a AS one", "FROM b", target=target)

    assert told == f"Dockerfile: there is no stage '{target}'\n  allowed: stages: one"


@pytest.mark.parametrize("origin", ["later", "1", "2", "7"])
def test_a_stage_that_is_not_above_is_refused(origin: str) -> None:
    told = refusal(
        "FROM a AS first", "FROM b AS here", f"COPY --from={origin} / /", "FROM c AS later", target="here"
    )

    assert told.startswith(f"Dockerfile:3: --from={origin} names a stage that is not above it")


def test_a_variable_in_from_is_refused_as_buildkit_does() -> None:
    told = refusal("ARG S=x", "FROM a AS x", "FROM b", "COPY --from=${S} / /")

    assert "Dockerfile:4: --from=${S}: variables are not allowed here" in told
    assert "next: add FROM ${S} AS <name>" in told


def test_other_images_are_copied_from_by_name() -> None:
    found = recipe("FROM a", "COPY --from=r.example/x/uv:1 /uv /", "RUN --mount=type=bind,from=tools:2 ls")

    assert bases(found) == ["a", "r.example/x/uv:1", "tools:2"]
    assert paths(found) == []


# Arguments


def test_every_arg_of_every_stage_has_its_value() -> None:
    found = recipe(
        "ARG GLOBAL=g",
        "ARG HIDDEN=h",
        "FROM a AS one",
        "ARG X=1",
        "ARG X=2 Y=$X",
        "FROM one",
        "ARG GLOBAL",
        "ARG X=3",
        "ARG GIVEN=no",
        "ARG NONE",
        "ARG TARGETARCH",
        args={"GIVEN": "yes", "OTHER": "o"},
    )

    assert found.stages[0].args == (("X", "1"), ("X", "2"), ("Y", "2"))
    assert found.stages[1].args == (
        ("GLOBAL", "g"),
        ("X", "3"),
        ("GIVEN", "yes"),
        ("NONE", None),
        ("TARGETARCH", "arm64"),
    )
    assert found.declared_args - GLOBAL_ARGS == {"GLOBAL", "HIDDEN", "X", "Y", "GIVEN", "NONE"}


@pytest.mark.parametrize(
    ("lines", "path"),
    [
        (("ARG X=a", "COPY $X /"), "a"),
        (("ENV X=a", "COPY $X /"), "a"),
        (("ARG X=a", "ARG X", "COPY $X /"), "a"),  # without a value, what was there stays
        (("ENV X=b", "ARG X=a", "COPY $X /"), "a"),  # the last one wins, whatever the documentation says
        (("ARG X=a", "ENV X=b", "COPY $X /"), "b"),
        (("ENV X=a", "ENV X=b Y=$X", "COPY $Y /"), "a"),  # one ENV sees what was before it
        (("ENV X a b", 'COPY ["$X", "/"]'), "a b"),
        (("ARG X='a b'", "COPY $X /"), "a b"),
        (("COPY a$$b /",), "ab"),
        (("COPY ${MISSING}/a /",), "/a"),
        (("ARG TARGETSTAGE", "COPY $TARGETSTAGE /"), "final"),
        (("ARG TARGETPLATFORM", "COPY x/$TARGETPLATFORM /"), "x/linux/arm64"),
    ],
)
def test_variables_in_paths(lines: tuple[str, ...], path: str) -> None:
    assert paths(recipe("FROM scratch AS final", *lines)) == [(path,)]


def test_a_stage_inherits_the_variables_of_the_one_below() -> None:
    found = recipe("FROM scratch AS one", "ARG A=a", "ENV B=b", "FROM one", "COPY $A $B /", "FROM scratch")
    assert paths(found) == []
    found = recipe("FROM scratch AS one", "ARG A=a", "ENV B=b", "FROM one", "COPY $A $B /")
    assert paths(found) == [("a", "b")]


def test_an_env_outlasts_an_arg_of_its_name_in_stages_above() -> None:
    below = ("FROM scratch AS one", "ENV A=env", "ARG A=arg", "COPY $A /")

    assert paths(recipe(*below, "FROM one", "COPY $A /")) == [("arg",), ("env",)]


def test_a_variable_that_an_unknown_image_sets_outlasts_an_arg_of_its_name() -> None:
    below = ("FROM python AS one", "ENV B=b", "ARG A=arg", "COPY $A /")

    assert paths(recipe(*below, "FROM one", "COPY $A /", "COPY $B /")) == [("arg",), None, ("b",)]


def test_a_path_to_programs_is_always_set() -> None:
    assert paths(recipe("FROM scratch", "COPY ${PATH:+a} /")) == [("a",)]
    assert paths(recipe("FROM scratch", "ENV PATH=b", "COPY $PATH /")) == [("b",)]


def test_the_escape_directive_holds_in_words() -> None:
    found = recipe("# escape=`", "FROM scratch", "ENV A=a", "COPY `$A $A\\b /")

    assert paths(found) == [("$A", "a\\b")]


def test_an_escape_directive_after_a_comment_is_a_comment() -> None:
    rest = ("FROM scratch", "ARG A=a", "COPY `$A /")

    assert paths(recipe("# built for Lambda", "# escape=`", *rest)) == [("`a",)]
    assert paths(recipe("# check=skip=all", " # escape=`", *rest)) == [("$A",)]


def test_a_mount_is_a_line_of_comma_separated_values() -> None:
    found = recipe(
        "FROM scratch",
        "ARG KIND=bind",
        """RUN --mount='"source=a,b"',target=/x ls""",
        "RUN --mount=type=$KIND,source=c,target=/x ls",
        "RUN --mount=type=tmpfs,target=/x ls",
    )

    assert paths(found) == [("a,b",), ("c",)]


@pytest.mark.parametrize(
    "lines",
    [
        ("COPY $ROOT/x /",),
        ("ARG ROOT", "COPY $ROOT/x /"),
        ("ARG HERE=$ROOT", "COPY $HERE/x /"),
        ("ARG HERE=here", "ARG HERE=$ROOT", "COPY $HERE/x /"),
        ("ENV HERE=$ROOT", "COPY $HERE/x /"),
        ("ENV ROOT=$ROOT/y", "COPY $ROOT/x /"),
        ("RUN --mount=type=bind,source=$ROOT,target=/x ls",),
    ],
)
def test_a_variable_that_the_base_image_may_set_makes_the_whole_context_count(lines: tuple[str, ...]) -> None:
    found = recipe("FROM python", *lines)

    assert paths(found) == [None]
    assert "may come from the base image, so the whole context counts" in str(found.sources[0].reason)


def test_a_value_that_hangs_on_the_base_image_is_kept_as_it_is_written() -> None:
    assert recipe("FROM python", "ARG HERE=$ROOT/x").stages[0].args == (("HERE", "$ROOT/x"),)


# Reads


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("COPY a b/ /to/", ("a", "b/")),
        ('COPY ["a file", "/to/"]', ("a file",)),
        ("COPY --link --chown=1 a /to", ("a",)),
        ("ADD a.tar.gz /to", ("a.tar.gz",)),
        ("ADD a https://x.test/b /to/", ("a",)),
        ("COPY <<EOF a /to/\nx\nEOF", ("a",)),
        ("RUN --mount=type=bind,source=a,target=/a ls", ("a",)),
        ("RUN --mount=type=bind,src=a,dst=/a ls", ("a",)),
        ("RUN --mount=target=/a ls", ("/",)),
        ("RUN --mount=type=bind,target=/a ls", ("/",)),
        ("RUN --mount=TYPE=bind,Source=a,target=/a ls", ("a",)),
        ("RUN --mount=type=BIND,source=a,target=/a ls", ("a",)),
        ("ONBUILD COPY a /", None),
        ("COPY <<EOF /to\nx\nEOF", None),
        ("ADD https://x.test/b /to/", None),
        ("ADD git@github.com:x/y.git /to/", None),
        ("ADD deploy@git.test:x/y.git /to/", None),
        ("RUN --mount=type=cache,target=/a ls", None),
        ("RUN --mount=type=tmpfs,target=/a ls", None),
        ("RUN --mount=type=secret,id=a ls", None),
    ],
)
def test_reads_from_the_context(line: str, expected: tuple[str, ...] | None) -> None:
    assert paths(recipe("FROM scratch", line)) == ([] if expected is None else [expected])


def test_flags_of_a_copy_are_kept() -> None:
    (source,) = recipe("FROM scratch", "COPY --parents --exclude=*.md --exclude=x a /").sources

    assert source == SourceFiles(
        line=2, instruction="COPY", paths=("a",), excludes=("*.md", "x"), parents=True
    )


def test_a_url_in_an_argument_is_a_url() -> None:
    found = recipe("FROM scratch", "ARG URL=https://x.test/a", "ADD $URL /")

    assert paths(found) == []
    assert (
        found.stages[0].notes[0].what
        == "ADD https://x.test/a: the content behind the URL is not in the fingerprint"
    )
    assert str(found.stages[0].notes[0].hint).startswith("pin it with ADD --checksum")
    assert recipe("FROM scratch", "ADD --checksum=sha256:1 https://x.test/a /").stages[0].notes == ()


def test_secrets_are_known_by_id() -> None:
    found = recipe(
        "FROM a",
        "RUN --mount=type=secret,id=b --mount=type=secret,target=/run/secrets/a ls",
        "RUN --mount=type=secret,id=b,env=X ls",
        "ARG NAME=c",
        "RUN --mount=type=secret,id=$NAME ls",
    )

    assert found.secrets == ("a", "b", "c")


def test_malformed_words_are_all_reported() -> None:
    told = refusal("FROM scratch", 'COPY "a b" /', "COPY ${X:?needed} /")

    assert told.startswith("Dockerfile:2: '\"a': a double quote is not closed")
    assert "Dockerfile:3: X: needed" in told


# Named contexts


def test_named_contexts_are_read_by_copy_mount_and_from() -> None:
    found = recipe(
        "FROM lib:latest",
        "COPY --from=lib a /",
        "RUN --mount=from=lib,source=b,target=/b ls",
        "COPY c /",
        contexts=frozenset({"lib"}),
    )

    assert bases(found) == []
    assert [(each.context, each.paths) for each in found.sources] == [
        ("lib", ("/",)),
        ("lib", ("a",)),
        ("lib", ("b",)),
        (None, ("c",)),
    ]


@pytest.mark.parametrize("declared", ["lib", "lib:latest", "docker.io/library/lib"])
@pytest.mark.parametrize("written", ["lib", "lib:latest", "library/lib", "index.docker.io/lib:latest"])
def test_a_named_context_is_found_under_every_spelling_of_its_name(declared: str, written: str) -> None:
    lines = (f"FROM {written}", f"COPY --from={written} a /", f"RUN --mount=from={written},source=b ls")
    found = recipe(*lines, contexts=frozenset({declared}))

    assert bases(found) == []
    assert [(each.context, each.paths) for each in found.sources] == [
        (declared, ("/",)),
        (declared, ("a",)),
        (declared, ("b",)),
    ]


def test_two_contexts_of_one_name_are_refused() -> None:
    told = refusal("FROM lib", contexts=frozenset({"lib", "lib:latest"}))

    assert "two of the contexts lib, lib:latest are one to BuildKit" in told


def test_a_stage_goes_by_its_number_in_copy_only() -> None:
    lines = ("FROM scratch", "COPY x /", "FROM scratch", "COPY --from=0 x /")

    assert paths(recipe(*lines, contexts=frozenset({"0"}))) == [("x",)]
    assert "a mount cannot name a stage by its number" in refusal(*lines, "RUN --mount=from=0,target=/x ls")
    (_, mounted) = recipe(*lines, "RUN --mount=from=0 ls", contexts=frozenset({"0"})).sources
    assert mounted.context == "0"


def test_an_empty_from_is_the_context() -> None:
    assert paths(recipe("FROM scratch", "COPY --from= a /", "RUN --mount=from=,source=b ls")) == [
        ("a",),
        ("b",),
    ]


def test_a_named_context_takes_the_place_of_a_stage() -> None:
    lines = ("FROM a AS lib", "COPY x /", "FROM scratch", "COPY --from=lib y /")

    assert paths(recipe(*lines)) == [("x",)]
    (source,) = recipe(*lines, contexts=frozenset({"lib"})).sources
    assert (source.context, source.paths) == ("lib", ("y",))
    (source,) = recipe(*lines[:2], contexts=frozenset({"lib"})).sources
    assert (source.context, source.paths) == ("lib", ("/",))


# ONBUILD


def test_onbuild_runs_in_the_stage_built_on_it_and_in_no_other() -> None:
    lines = ("FROM scratch AS one", "ONBUILD ARG X=a", "ONBUILD COPY $X /", "COPY own /")

    assert paths(recipe(*lines)) == [("own",)]
    on_top = recipe(*lines, "FROM one", "COPY $X.txt /")
    assert paths(on_top) == [("own",), ("a",), ("a.txt",)]
    assert on_top.sources[1].line == 5
    assert paths(recipe(*lines, "FROM one AS two", "FROM two")) == [("own",), ("a",)]
    assert paths(recipe(*lines, "FROM scratch", "COPY --from=one / /")) == [("own",)]


def test_onbuild_may_use_another_stage() -> None:
    found = recipe("FROM tools AS t", "FROM a AS one", "ONBUILD COPY --from=t / /", "FROM one")

    assert bases(found) == ["tools", "a"]


def test_onbuild_of_another_image_is_followed_when_it_is_known() -> None:
    base = recipe("FROM scratch", "ONBUILD COPY src /")
    found = recipe("FROM scratch AS x", "FROM base:stable", triggers={"base:stable": base.triggers})

    assert [each.name for each in base.triggers] == ["COPY"]
    assert [(each.line, each.paths) for each in found.sources] == [(2, ("src",))]


# The platform of which an image from outside is used


@pytest.mark.parametrize(
    ("lines", "platform"),
    [
        (["FROM a"], "linux/arm64"),
        (["FROM --platform=linux/amd64 a"], "linux/amd64"),
        (["FROM --platform=linux/x86_64 a"], "linux/amd64"),
        (["FROM --platform=$TARGETPLATFORM a"], "linux/arm64"),
        (["FROM --platform=$BUILDPLATFORM a"], None),
        (["FROM --platform=linux/$BUILDARCH a"], None),
        (["FROM scratch", "COPY --from=a /x /"], "linux/arm64"),
        (["FROM --platform=$BUILDPLATFORM scratch", "RUN --mount=from=a x"], "linux/arm64"),
        (["FROM a AS one", "FROM one", "COPY --from=a /x /"], "linux/arm64"),
        (["FROM a AS one", "FROM --platform=linux/amd64 a", "COPY --from=one /x /"], None),
        (["FROM a AS one", "FROM --platform=$BUILDPLATFORM a", "COPY --from=one /x /"], None),
    ],
)
def test_the_platform_of_which_an_image_is_used(lines: list[str], platform: str | None) -> None:
    (external,) = (each for each in recipe(*lines).externals if each.name == "a")

    assert external.platform == platform
