"""Phases: the three phases, and their steps."""

from __future__ import annotations

from lamina.tasks.command import CliCommand
from lamina.tasks.flags import BUILD, flags

# fmt: off
PHASES: tuple[CliCommand, ...] = (
    CliCommand(
        name="phases", runs="adopting:phases",
        help="Print the state of the three phases: each step, whether it is done, and the next command if "
             "not.",
        flags=flags("registry", "stack", "json"),
    ),
    CliCommand(
        name="phase1", runs="phases:phase1", flags=flags("plain"),
        help="Quick wins: check Dockerfiles, ignore files and the engine; show the plan.",
    ),
    CliCommand(
        name="phase2", runs="phases:phase2", flags=flags("registry", "push", "static", "plain"),
        help="Stable development: log in, pull, build and tag the bases, build the Lambda images.\n\n"
             "With --static: build only the Lambda images, on the stable bases.",
    ),
    CliCommand(
        name="phase3", runs="phases:phase3", flags=flags("registry", "plain"),
        help="Optimisation: show which images are linked, and check the remote cache and remote builds.",
    ),
    CliCommand(
        name="build-base", runs="images:build_base", flags=BUILD,
        help="Build the base images that changed.",
    ),
    CliCommand(
        name="build-lambda", runs="images:build_lambda", flags=BUILD,
        help="Build the Lambda images that changed, and the bases they are missing.",
    ),
    CliCommand(
        name="pull", runs="registry:pull",
        help="Pull the base images the next build needs, by digest. Missing images are reported, not an "
             "error.",
        flags=flags("image", "registry", "stack", "platform", "stall", "json"),
    ),
    CliCommand(
        name="stable", runs="images:stable",
        help="Move the tag stable of each base image to its current content.",
        flags=flags("image", "registry", "stack", "platform", "json"),
    ),
)
# fmt: on
