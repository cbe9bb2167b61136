from __future__ import annotations

import csv

import pytest

from lamina.declare.dockerfile import parse_dockerfile
from lamina.declare.flags import flag_faults, mount_options


def faults(line: str) -> list[str]:
    """Return the problems of an instruction's flags, split off by the Dockerfile parser."""
    file = parse_dockerfile(f"# syntax=x\nFROM a\n{line}\n", "Dockerfile")
    (instruction,) = file.stages[0].instructions
    return [what for what, _ in flag_faults(instruction.name, instruction.flags)]


@pytest.mark.parametrize(
    ("line", "says"),
    [
        ("COPY --LINK a b", ["COPY has no flag --LINK; did you mean --link?"]),
        ("COPY --checksum=sha256:a a b", ["COPY has no flag --checksum"]),
        ("ADD --from=x a b", ["ADD has no flag --from"]),
        ("ENV --a b=c", ["ENV has no flag --a"]),
        ("COPY --from a b", ["--from needs a value"]),
        ("COPY --link --link a b", ["--link is given twice"]),
        ("COPY --link=yes --chmod=999 a b", ["--link=yes is not a switch", "--chmod=999 is not a file mode"]),
        ("COPY --chmod=77777 a b", ["--chmod=77777 is not a file mode"]),
        ("COPY --chmod=0o755 a b", ["--chmod=0o755 is not a file mode"]),
        ("RUN --network=foo x", ["--network=foo is unknown"]),
        ("RUN --mount x", ["--mount needs a value"]),
        (
            "RUN --mount=type=cach,target=/c,foo=bar x",
            ["--mount=type=cach is unknown", "--mount has no option 'foo'"],
        ),
        ("RUN --mount=type=cache,target=/c,sharing=lock x", ["--mount: sharing=lock is unknown"]),
    ],
)
def test_a_flag_that_the_frontend_refuses_is_reported(line: str, says: list[str]) -> None:
    assert faults(line) == says


@pytest.mark.parametrize(
    "line",
    [
        "COPY --link=TRUE --chmod=07777 --chown=1:2 a b",
        "COPY --chmod=u=rwX,go=rX --exclude=a --exclude=b --parents a b",
        "COPY --chmod=$MODE a b",
        "COPY --chmod= --link=false a b",
        "ADD --keep-git-dir --unpack=true --checksum=sha256:a https://a b",
        "RUN --mount=TYPE=cache,target=/c,sharing=LOCKED --mount=type=$KIND,target=/d --network=none x",
        "RUN --mount=type=secret,id=x,env=X,required=false,mode=0400,uid=1 --mount=type=ssh x",
        "STOPSIGNAL --x 9",
        "HEALTHCHECK --interval=5s --start-interval=1s --retries=2 CMD x",
    ],
)
def test_accepted_values_are_not_faults(line: str) -> None:
    assert faults(line) == []


@pytest.mark.parametrize(
    "value",
    [
        "",
        "type=bind",
        "type=bind,source=a,target=/b,ro",
        'type=bind,"source=a,b",ro',
        "a=,,b",
        ",",
        '"',
        'a"b,c',
    ],
)
def test_the_options_of_a_mount_are_fields_of_csv(value: str) -> None:
    fields = next(csv.reader([value]), [])

    assert list(mount_options(value)) == [
        (key.strip().lower(), given) for key, _, given in (each.partition("=") for each in fields)
    ]
