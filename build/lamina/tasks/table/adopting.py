"""Adopting: how a project gets its settings, and keeps them right."""

from __future__ import annotations

from lamina.tasks.command import FINDINGS, CliCommand, Flag, switch, text
from lamina.tasks.flags import flags, images_flag

# fmt: off
ADOPTING: tuple[CliCommand, ...] = (
    CliCommand(
        name="init", runs="adopting:init",
        help="Adopt a repository: propose [tool.lamina] for it, plan with that, and show what it would save.",
        flags=flags(
            switch("write", "add the proposal to pyproject.toml, or to lamina.toml if there is none"), "json",
        ),
    ),
    CliCommand(
        name="config", runs="project:config",
        help="Print every setting with its value and its source, and the images that were found.",
        flags=flags("json"),
    ),
    CliCommand(
        name="ignore", runs="adopting:ignore",
        help="Show, write or check the <Dockerfile>.dockerignore of each image: only what it copies and "
             "mounts.",
        flags=flags(
            "image",
            switch("write", "write the files; replace a hand-written one only if COPY takes the same files "
                            "as before"),
            switch("check", f"exit {FINDINGS} when a file hides a COPY source, names a missing path or is "
                            "out of date"),
            "json",
        ),
    ),
    CliCommand(
        name="sync", runs="adopting:sync",
        help="Write the marked lines of each Dockerfile from the members of the uv workspace or a file of "
             "requirements: what it copies and mounts.",
        flags=flags(
            "image",
            switch("check", f"exit {FINDINGS} when a Dockerfile is out of date, and write nothing"),
            switch("dry-run", "show the changes as a diff, and write nothing"),
            "json",
        ),
    ),
    CliCommand(
        name="lock", runs="project:lock",
        help="Pin the external images that the project uses in lamina.lock, by digest.",
        flags=flags(
            images_flag("only the images this image is based on (may be given several times)"),
            switch("refresh", "resolve the pinned images again, and drop the pins that no Dockerfile uses"),
            switch("dry-run", "show the changes and the images they would rebuild, and write nothing"),
            "json",
        ),
    ),
    CliCommand(
        name="bump", runs="bump:bump", words="to",
        help="Bring the project to another Python, or to another version of a requirement, and show which "
             "images that rebuilds.",
        flags=flags(
            Flag(name="requirement", positional=True,
                 help="python, or what uv.lock, requirements files, pyproject.toml or Dockerfiles pin"),
            text("to", "the version; also as requirement==version (default of a requirement: the newest)"),
            switch("write", "write all of the files, or none"),
            switch("check", f"exit {FINDINGS} when a pinned package has no wheel for the Python and platform "
                            "of an image, and then write nothing"),
            "json",
        ),
    ),
    CliCommand(
        name="rule", runs="linting:rule",
        help="Explain a rule of lint: what it finds, why, and what --fix does.",
        flags=flags(
            Flag(name="rule", help="the id or the name of a rule", positional=True, field="name"), "json",
        ),
    ),
)
# fmt: on
