"""The commands: one table of names, help, flags and the function that runs each.

`lamina` prints its help from this table, and Invoke's tasks are made from it. To add a flag to a command, add
its name here; a flag of the command's own is also a parameter of its function. Importing the table imports
neither Invoke nor the module of a command.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from lamina.tasks.command import FINDINGS, NOT_EMPTY, TABLE, CliCommand, Flag, number, repeated, switch, text
from lamina.tasks.flags import FLAGS

SMOKE_MEMORY, SMOKE_TIMEOUT = 1024, 30
"""Default memory (MB) and timeout (seconds) of a function. Lambda's own defaults are 128 and 3."""
DEPLOY_TIMEOUT = 300
"""Seconds."""


def _flags(*flags: str | Flag) -> tuple[Flag, ...]:
    """Return flags of the table by name, and those of one command as they are."""
    return tuple(FLAGS[each] if isinstance(each, str) else each for each in flags)


def _images(help: str) -> Flag:  # noqa: A002
    return replace(FLAGS["image"], help=help)


def _image(help: str) -> Flag:  # noqa: A002
    return Flag(name="image", positional=True, help=help)


def _lint_prints_json(given: Mapping[str, object]) -> bool:
    return bool(given["json"]) or (given["output-format"] == "json" and not given["output-file"])


def _lint_prints_a_format(given: Mapping[str, object]) -> bool:
    return given["output-format"] in {"github", "gitlab", "sarif"} and not given["output-file"]


_BUILD = _flags(
    *("image", "registry", "push", "create", "platform", "stack", "builder", "static", "force", "refresh"),
    *("jobs", "reproducible", "keep-going", "allow-stand-in", "append", "cache", "cache-read-only"),
    *("provenance", "sbom", "sbom-generator", "stall", "json", "plain"),
)
_LIVE = ("registry", "stack", "platform", "static", "json")
_DRY_RUN = switch("dry-run", "show what would change, and change nothing")
_PURGE = switch("purge", "also remove its images and caches")


# fmt: off
_TABLE = (
    CliCommand(
        name="build-all", runs="images:build_all", flags=_BUILD,
        help="Build every image that changed, bases first; with --push, into the registry.",
    ),
    CliCommand(
        name="build", runs="images:build_all", flags=_BUILD,
        help="Build the named images that changed, and the bases they are missing; without names, all.",
    ),
    CliCommand(
        name="build-base", runs="images:build_base", flags=_BUILD,
        help="Build the base images that changed.",
    ),
    CliCommand(
        name="build-lambda", runs="images:build_lambda", flags=_BUILD,
        help="Build the Lambda images that changed, and the bases they are missing.",
    ),
    CliCommand(
        name="plan", runs="images:plan", only_result=lambda given: given["format"] != TABLE,
        help="Show which images would be built and why, and which problems stand in the way; build nothing.",
        flags=_flags(
            *("image", "registry", "platform", "stack", "static", "force", "offline", "upstream"),
            replace(FLAGS["json"], goes_to="command"),
            switch("check", f"exit {NOT_EMPTY} when there is something to do"),
            Flag(name="since", bare="auto",
                 help="show which images changed since this commit instead, asking neither engine nor "
                      "registry (without a value: since the branch began)"),
            text("format", "table, markdown, matrix (of a job), github (outputs of a step) or paths "
                           "(folders)", default=TABLE, field="form"),
        ),
    ),
    CliCommand(
        name="push", runs="images:push", fixed={"push": True},
        help="Push the built images that the registry does not have yet, and confirm every digest.",
        flags=_flags(
            "image", "registry", "create", "stack", "platform", "allow-stand-in", "stall", "json",
        ),
    ),
    CliCommand(
        name="stable", runs="images:stable",
        help="Move the tag stable of each base image to its current content.",
        flags=_flags("image", "registry", "stack", "platform", "json"),
    ),
    CliCommand(
        name="tag", runs="images:tag",
        help="Print each image's tags: the content tag, git-<sha> on a clean tree, stable in static mode.",
        flags=_flags(
            "image", *_LIVE,
            switch("apply", "set the tags on the images; in a registry without pulling them"),
        ),
    ),
    CliCommand(
        name="config", runs="project:config",
        help="Print every setting with its value and its source, and the images that were found.",
        flags=_flags("json"),
    ),
    CliCommand(
        name="lock", runs="project:lock",
        help="Pin the external images that the project uses in lamina.lock, by digest.",
        flags=_flags(
            _images("only the images this image is based on (may be given several times)"),
            switch("refresh", "resolve the pinned images again, and drop the pins that no Dockerfile uses"),
            switch("dry-run", "show the changes and the images they would rebuild, and write nothing"),
            "json",
        ),
    ),
    CliCommand(
        name="login", runs="registry:login",
        help="Log in to ECR with a token that docker and buildx use too; elsewhere check docker's own "
             "credentials.",
        flags=_flags("registry", "json"),
    ),
    CliCommand(
        name="pull", runs="registry:pull",
        help="Pull the base images the next build needs, by digest. Missing images are reported, not an "
             "error.",
        flags=_flags("image", "registry", "stack", "platform", "stall", "json"),
    ),
    CliCommand(
        name="init", runs="adopting:init",
        help="Adopt a repository: propose [tool.lamina] for it, plan with that, and show what it would save.",
        flags=_flags(
            switch("write", "add the proposal to pyproject.toml and keep its other content"), "json",
        ),
    ),
    CliCommand(
        name="ignore", runs="adopting:ignore",
        help="Show, write or check the <Dockerfile>.dockerignore of each image: only what it copies and "
             "mounts.",
        flags=_flags(
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
        help="Write the marked lines of each Dockerfile from the members of the uv workspace: what it copies "
             "and mounts.",
        flags=_flags(
            "image",
            switch("check", f"exit {FINDINGS} when a Dockerfile is out of date, and write nothing"),
            switch("dry-run", "show the changes as a diff, and write nothing"),
            "json",
        ),
    ),
    CliCommand(
        name="phases", runs="adopting:phases",
        help="Print the state of the three phases: each step, whether it is done, and the next command if "
             "not.",
        flags=_flags("registry", "stack", "json"),
    ),
    CliCommand(
        name="why", runs="explain:why",
        help="Show which inputs of an image changed between two states, down to the file that caused it.",
        flags=_flags(
            _image("the image to explain"),
            text("from", "the first state: last (built here), worktree, a git revision, a tag or digest, "
                         "host/repository:tag", default="last", field="from_"),
            text("to", "the second state, given in the same way", default="worktree"),
            "registry", "stack", "json",
        ),
    ),
    CliCommand(
        name="audit", runs="explain:audit",
        help="Check that skips are right: solve each skipped image and compare its layers with the stored "
             "image.",
        flags=_flags(
            "image",
            number("sample", 0, "audit only this many images, chosen at random (0: all)"),
            number("seed", 0, "repeat the sample that this seed chose (0: a new one)"),
            "registry", "stack", "platform", "builder", "static", "json", "plain",
        ),
    ),
    CliCommand(
        name="verify", runs="explain:verify", fixed={"static": False, "reproducible": True},
        help="Rebuild an image of --reproducible from scratch, in an engine of its own, and compare the "
             "digests.",
        flags=_flags(_image("the image to rebuild"), "registry", "stack", "platform", "json", "plain"),
    ),
    CliCommand(
        name="report", runs="explain:report", words="run",
        help="Report how well the cache worked in a run: which steps ran and why, their cost, and the "
             "savings.",
        flags=_flags(
            text("run", "the run to report, by its name or the beginning of it (default: the latest)",
                 default=""),
            number("last", 10, "how many runs to search for steps that are often slow"),
            switch("list", "only list the kept runs", field="list_"),
            Flag(name="html", default="", bare=True,
                 help="write an HTML page to this file instead (default: .lamina/report.html)"),
            "json",
        ),
    ),
    CliCommand(
        name="lint", runs="linting:lint", prints_json=_lint_prints_json,
        only_result=_lint_prints_a_format,
        help="Find faults in Dockerfiles that defeat the cache or fail on Lambda; --fix fixes them.",
        flags=_flags(
            "image",
            switch("fix", "show the fixes as a diff, then write them"),
            switch("dry-run", "with --fix: show the diff and write nothing"),
            replace(FLAGS["json"], goes_to="command"),
            repeated("select", "only these rules: ids, beginnings of ids (LAM1) or names, separated by "
                               "commas; their notes too"),
            repeated("ignore", "not these rules; named as for --select"),
            switch("notes", "also show notes, which do not make the command fail"),
            text("output-format", "full, concise, statistics, json, github, gitlab or sarif", default="full"),
            text("output-file", "write the findings in that format to this file, and show them in full"),
        ),
    ),
    CliCommand(
        name="rule", runs="linting:rule",
        help="Explain a rule of lint: what it finds, why, and what --fix does.",
        flags=_flags(
            Flag(name="rule", help="the id or the name of a rule", positional=True, field="name"), "json",
        ),
    ),
    CliCommand(
        name="smoke", runs="run:smoke",
        help="Run the built Lambda images as Lambda would, each with an event, and report whether they "
             "answer.",
        flags=_flags(
            "image",
            repeated("command", "run this CMD instead of the image's own (may be given several times)"),
            repeated("env", "a variable for the functions, NAME=value (may be given several times)"),
            text("event", "a JSON file (default: event.json beside the handler, else an empty object)"),
            number("timeout", SMOKE_TIMEOUT, "seconds each function may take, its init included"),
            number("memory", SMOKE_MEMORY, "memory of each function, in MB"),
            switch("aws-credentials", "pass the environment's AWS credentials to the functions (default: "
                                      "none)"),
            switch("init", "explain init: its phases, slowest imports and bytecode, by starting the functions"
                           " again", default=True),
            *_LIVE,
        ),
    ),
    CliCommand(
        name="size", runs="explain:size",
        help="Show what an image consists of, by layer and package, against an earlier one, and what it may "
             "not need.",
        flags=_flags(
            _image("the image to measure"),
            text("from", "the earlier image: a tag, a digest, host/repository:tag (default: the last one "
                         "before)", default="", field="from_"),
            *_LIVE,
        ),
    ),
    CliCommand(
        name="watch", runs="run:watch",
        help="Build the images that changed after every save, until Ctrl-C; with --smoke, test them too.",
        flags=_flags(
            "image",
            switch("smoke", "test each Lambda image that was built, as the task smoke does"),
            *("registry", "push", "create", "platform", "stack", "builder", "static", "jobs"),
            *("allow-stand-in", "cache", "cache-read-only", "stall", "plain"),
        ),
    ),
    CliCommand(
        name="check", runs="checking:check", words="ref",
        help="Check whether Lambda accepts the pushed images: media types, architecture, layers, size, "
             "region.",
        flags=_flags(
            "image",
            repeated("ref", "check this image of any registry instead, by tag or digest (may be given "
                            "several times)"),
            *_LIVE,
        ),
    ),
    CliCommand(
        name="deploy", runs="live:deploy",
        help="Update functions to the pushed digests; functions that already run them are left alone.",
        flags=_flags(
            "image", _DRY_RUN,
            text("alias", "publish a version of each changed function and move this alias to it, of all "
                          "functions or of none"),
            switch("publish", "publish a version of each changed function"),
            switch("smoke", "call each deployed function with its event.json; if one call fails, no alias "
                            "moves"),
            switch("take-over", "also deploy to functions that run an image of another stack"),
            number("timeout", DEPLOY_TIMEOUT,
                   f"seconds the update of one function may take (default: {DEPLOY_TIMEOUT})"),
            *_LIVE,
        ),
    ),
    CliCommand(
        name="status", runs="live:status",
        help="Show whether a change is live: compare what each function and alias runs with the worktree.",
        flags=_flags(
            "image",
            switch("check", f"exit {NOT_EMPTY} when calls reach anything but the worktree's images"),
            switch("all", "also show the versions that no alias uses", field="every"),
            *_LIVE,
        ),
    ),
    CliCommand(
        name="outputs", runs="handoff:outputs", fixed={"offline": True},
        only_result=lambda _: True,
        help="Print the images that functions should run, by digest, for Terraform, CDK or a shell; works "
             "offline.",
        flags=_flags(
            _images("only this image (may be given several times; default: all Lambda images)"),
            text("format", "json, env (for sh), tfvars (Terraform) or cdk (a context object)", default="json",
                 field="form"),
            switch("plan-only", "print content tags, computed from the files alone, pushed or not"),
            switch("allow-stale", "print the digests of the last push even if the files have changed since"),
            "registry", "stack", "platform", "static",
        ),
    ),
    CliCommand(
        name="gc", runs="registry:gc",
        help="List the unused images of this stack, and why all others stay; with --apply, delete the unused "
             "ones.",
        flags=_flags(
            switch("apply", "delete; without it nothing is changed"),
            text("keep-last", "how many of the newest images to keep in each repository"),
            text("days", "keep images pushed within this many days"),
            "registry", "stack", "json",
        ),
    ),
    CliCommand(
        name="phase1", runs="phases:phase1", flags=_flags("plain"),
        help="Quick wins: check Dockerfiles, ignore files and the engine; show the plan.",
    ),
    CliCommand(
        name="phase2", runs="phases:phase2", flags=_flags("registry", "push", "static", "plain"),
        help="Stable development: log in, pull, build and tag the bases, build the Lambda images.\n\n"
             "With --static: build only the Lambda images, on the stable bases.",
    ),
    CliCommand(
        name="phase3", runs="phases:phase3", flags=_flags("registry", "plain"),
        help="Optimisation: show which images are linked, and check the remote cache and remote builds.",
    ),
    CliCommand(
        name="engine.up", runs="sandboxes:engine_up",
        help="Start the private Docker engine (Linux, root, Debian family); nothing is installed.",
    ),
    CliCommand(
        name="engine.down", runs="sandboxes:engine_down", flags=_flags(_PURGE),
        help="Stop the private Docker engine.",
    ),
    CliCommand(
        name="engine.status", runs="sandboxes:engine_status",
        help="Show which Docker engine would build, and whether the private one runs.",
    ),
    CliCommand(
        name="registry.up", runs="sandboxes:registry_up",
        help="Start a local registry on the loopback interface.",
        flags=_flags(number("port", 5000, "the port on 127.0.0.1 (0: any free one)")),
    ),
    CliCommand(
        name="registry.down", runs="sandboxes:registry_down", flags=_flags(_PURGE),
        help="Stop the local registry.",
    ),
    CliCommand(
        name="ecr.setup", runs="registry:ecr_setup", flags=_flags("registry", "stack", _DRY_RUN, "json"),
        help="Create the repositories of this stack in ECR and bring their settings up to date; idempotent.",
    ),
    CliCommand(
        name="codebuild.setup", runs="codebuild:setup",
        help="Create or update the projects and the bucket that builds on CodeBuild need.",
        flags=_flags(
            "registry", "stack", "platform",
            switch("dry-run", "print the changes and the roles' policies, and change nothing"),
            "json",
        ),
    ),
    CliCommand(
        name="codebuild.build", runs="codebuild:build", fixed={"push": True},
        help="Build every changed image on CodeBuild and push it: build-all --push without a local engine.",
        flags=_flags(
            *("image", "registry", "create", "platform", "stack", "static", "force", "refresh", "jobs"),
            *("reproducible", "cache", "cache-read-only"),
            switch("wait", "wait for the build, confirm every digest and record it; --no-wait only starts "
                           "the build", default=True),
            switch("follow", "also print every line of the build's log"),
            number("timeout", 0, "minutes the build may take (0: as configured)"),
            "json", "plain",
        ),
    ),
)
# fmt: on
COMMANDS: Mapping[str, CliCommand] = {each.name: each for each in _TABLE}
