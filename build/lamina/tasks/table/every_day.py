"""Every day: what one does all day."""

from __future__ import annotations

from dataclasses import replace

from lamina.tasks.command import NOT_EMPTY, TABLE, CliCommand, Flag, number, repeated, switch, text
from lamina.tasks.flags import BUILD, FLAGS, LIVE, flags, image_flag, images_flag

SMOKE_MEMORY, SMOKE_TIMEOUT = 1024, 30
"""Default memory (MB) and timeout (seconds) of a function. Lambda's own defaults are 128 and 3."""

# fmt: off
EVERY_DAY: tuple[CliCommand, ...] = (
    CliCommand(
        name="plan", runs="images:plan", only_result=lambda given: given["format"] != TABLE,
        help="Show which images would be built and why, and which problems stand in the way; build nothing.",
        flags=flags(
            *("image", "registry", "platform", "stack", "static", "force", "offline", "upstream", "prepare"),
            replace(FLAGS["json"], goes_to="command"),
            switch("check", f"exit {NOT_EMPTY} when there is something to do"),
            Flag(name="since", bare="auto",
                 help="show which images changed since this commit instead, asking neither engine nor "
                      "registry (without a value: since the branch began)"),
            text("format", "table, markdown, matrix (of a job), github (outputs of a step), gitlab (a "
                           "child pipeline) or paths (folders)", default=TABLE, field="form"),
            Flag(name="shards", kind=int, short=False,  # it would be -h
                 help="with --format matrix, github or gitlab: a job for the bases, and one for each part of "
                      "the Lambda images: those of --shard (default: a job for each image)"),
        ),
    ),
    CliCommand(
        name="build", runs="images:build_all", flags=BUILD,
        help="Build the named images that changed, and the bases they are missing; without names, all.",
    ),
    CliCommand(
        name="why", runs="explain:why",
        help="Show which inputs of an image changed between two states, down to the file that caused it.",
        flags=flags(
            image_flag("the image to explain"),
            text("from", "the first state: last (built here), worktree, a git revision, a tag or digest, "
                         "host/repository:tag", default="last", field="from_"),
            text("to", "the second state, given in the same way", default="worktree"),
            "registry", "platform", "stack", "json",
        ),
    ),
    CliCommand(
        name="watch", runs="run:watch",
        help="Build the images that changed after every save, until Ctrl-C; with --smoke, test them too: an "
             "edit of code is answered from a running container first.",
        flags=flags(
            "image",
            switch("smoke", "test each Lambda image that was built, as the task smoke does, and answer edits "
                            "of code before their image is built"),
            *("registry", "push", "create", "platform", "stack", "builder", "static", "jobs"),
            *("allow-stand-in", "cache", "cache-read-only", "stall", "plain"),
        ),
    ),
    CliCommand(
        name="smoke", runs="run:smoke",
        help="Run the built Lambda images as Lambda would, each with an event, and report whether they "
             "answer.",
        flags=flags(
            "image",
            repeated("command", "run this CMD instead of those of the image (may be given several times)"),
            repeated("env", "a variable for the functions, NAME=value (may be given several times)"),
            text("event", "a JSON file (default: event.json beside the handler, else an empty object)"),
            number("timeout", SMOKE_TIMEOUT, "seconds each function may take, its init included"),
            number("memory", SMOKE_MEMORY, "memory of each function, in MB"),
            switch("aws-credentials", "pass the environment's AWS credentials to the functions (default: "
                                      "none)"),
            switch("init", "explain init: its phases, slowest imports and bytecode, by starting the functions"
                           " again", default=True),
            *LIVE,
        ),
    ),
    CliCommand(
        name="diff", runs="explain:diff", only_result=lambda given: given["format"] != TABLE,
        help="Show what changed in images: packages, layers, sizes, files, seconds; asks no engine.",
        flags=flags(
            images_flag("only this image (may be given several times; default: all that changed)"),
            text("from", "what to compare with: a git revision (default: since the branch began), or with an "
                         "image a tag, a digest or host/repository:tag", default="auto", field="from_"),
            switch("layers", "read the layers that differ, for the packages and files in them; --no-layers "
                             "takes sizes from manifests and packages from requirements", default=True),
            text("format", "table or markdown (a comment)", default=TABLE, field="form"),
            "registry", "stack", "platform", "static", "offline", replace(FLAGS["json"], goes_to="command"),
        ),
    ),
    CliCommand(
        name="size", runs="explain:size",
        help="Show what an image consists of, by layer and package, against an earlier one, and what it may "
             "not need.",
        flags=flags(
            image_flag("the image to measure"),
            text("from", "the earlier image: a tag, a digest, host/repository:tag (default: the last one "
                         "before)", default="", field="from_"),
            *LIVE,
        ),
    ),
)
# fmt: on
