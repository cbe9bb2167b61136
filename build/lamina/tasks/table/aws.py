"""AWS: what acts on AWS."""

from __future__ import annotations

from dataclasses import replace

from lamina.tasks.command import NOT_EMPTY, CliCommand, Flag, number, repeated, switch, text
from lamina.tasks.flags import DRY_RUN, FLAGS, FORMAT, LIVE, flags

DEPLOY_TIMEOUT = 300
"""Seconds."""

# fmt: off
_CANARY = (
    text("canary", "send this share of the alias's calls to the new versions first, and the rest after this "
                   "time: 10%:5m; off: at once"),
    text("linear", "move the alias's calls to the new versions share by share, each for this long: 10%:1m"),
    repeated("alarm", "with --canary or --linear: a CloudWatch alarm that returns calls to the old versions"),
)
AWS: tuple[CliCommand, ...] = (
    CliCommand(
        name="login", runs="registry:login",
        help="Log in to ECR with a token that docker and buildx use too; elsewhere check docker's own "
             "credentials.",
        flags=flags("registry", "json"),
    ),
    CliCommand(
        name="bootstrap", runs="bootstrap:bootstrap", fixed={"push": True},
        help="Before the first deployment of a stack: create the repositories, push the images, and show "
             "which functions to create from them; idempotent.",
        flags=flags("image", DRY_RUN, "registry", "stack", "platform", "builder", "static", "prepare",
                    "allow-stand-in", "json", "plain"),
    ),
    CliCommand(
        name="deploy", runs="live:deploy",
        help="Update functions to the pushed digests; functions that already run them are left alone.",
        flags=flags(
            "image", DRY_RUN,
            text("alias", "publish a version of each changed function and move this alias to it, of all "
                          "functions or of none"),
            switch("publish", "publish a version of each changed function"),
            switch("smoke", "call each deployed function with its event.json; if one call fails, no alias "
                            "moves"),
            switch("take-over", "also deploy to functions that run an image of another stack"),
            switch("atomic", "if one function cannot be updated, put all others back"),
            *_CANARY,
            switch("rollback", "return the functions of the last deployment to what they ran before it"),
            text("to", "with --rollback: return to this version, image (digest or content tag) or run"),
            text("approve", "deploy to this stack, which is configured to need an approval"),
            number("timeout", DEPLOY_TIMEOUT,
                   f"seconds the update of one function may take (default: {DEPLOY_TIMEOUT})"),
            "max-severity", *LIVE,
        ),
    ),
    CliCommand(
        name="promote", runs="live:promote",
        help="Give a stack the images that another one runs, by digest; nothing is built or pulled.",
        flags=flags(
            Flag(name="from", positional=True, field="source", help="the stack that runs them"),
            Flag(name="to", positional=True, field="target", help="the stack that gets them"),
            "image", DRY_RUN,
            text("alias", "publish a version of each changed function and move this alias to it, of all "
                          "functions or of none"),
            switch("smoke", "call each deployed function with its event.json; if one call fails, no alias "
                            "moves"),
            switch("take-over", "also deploy to functions that run an image of another stack"),
            switch("atomic", "if one function cannot be updated, put all others back"),
            *_CANARY,
            text("approve", "deploy to this stack, which is configured to need an approval"),
            number("timeout", DEPLOY_TIMEOUT,
                   f"seconds the update of one function may take (default: {DEPLOY_TIMEOUT})"),
            "max-severity", "registry", "platform", "json",
        ),
    ),
    CliCommand(
        name="status", runs="live:status",
        help="Show whether a change is live: compare what each function and alias runs with the worktree.",
        flags=flags(
            "image",
            switch("check", f"exit {NOT_EMPTY} when calls reach anything but the worktree's images"),
            switch("all", "also show the versions that no alias uses", field="every"),
            switch("stacks", "show what all declared stacks run instead, side by side"),
            *LIVE,
        ),
    ),
    CliCommand(
        name="gc", runs="registry:gc",
        help="List the unused images of this stack, and why all others stay; with --apply, delete the unused "
             "ones.",
        flags=flags(
            switch("apply", "delete; without it nothing is changed"),
            text("keep-last", "how many of the newest images to keep in each repository"),
            text("days", "keep images pushed, and versions published, within this many days"),
            text("versions", "also delete versions that Lamina published and nothing names, but the newest N "
                             "of each function"),
            "registry", "stack", "json",
        ),
    ),
    CliCommand(
        name="ecr.setup", runs="registry:ecr_setup",
        prints_json=lambda given: bool(given["json"]) and not given["format"],
        only_result=lambda given: bool(given["format"]),
        help="Create the repositories of this stack in ECR and bring their settings up to date; idempotent.",
        flags=flags(
            "registry", "stack", DRY_RUN, replace(FLAGS["json"], goes_to="command"), FORMAT,
        ),
    ),
    CliCommand(
        name="iam", runs="iam:iam", words="policy",
        prints_json=lambda given: bool(given["json"]) and not given["format"],
        only_result=lambda given: bool(given["format"]) or not given["json"],
        help="Print the IAM policies that the commands need for this project; change nothing.",
        flags=flags(
            replace(repeated("policy", "only this one (may be given several times): setup, build, deploy, "
                                       "gc, outputs, codebuild (the role of builds), codebuild-caller"),
                    field="policies"),
            "registry", "stack", replace(FLAGS["json"], goes_to="command", field="as_json"),
            replace(FORMAT, help="print them for another tool: cloudformation, terraform (a .tf.json), or "
                                 "cdk (a program in Python)"),
        ),
    ),
    CliCommand(
        name="codebuild.setup", runs="codebuild:setup",
        prints_json=lambda given: bool(given["json"]) and not given["format"],
        only_result=lambda given: bool(given["format"]),
        help="Create or update the projects and the bucket that builds on CodeBuild need.",
        flags=flags(
            "registry", "stack", "platform",
            switch("dry-run", "print the changes and the roles' policies, and change nothing"),
            replace(FLAGS["json"], goes_to="command"), FORMAT,
        ),
    ),
    CliCommand(
        name="codebuild.build", runs="codebuild:build", fixed={"push": True},
        help="Build every changed image on CodeBuild and push it: build-all --push without a local engine.",
        flags=flags(
            *("image", "registry", "create", "platform", "stack", "static", "force", "refresh", "jobs"),
            *("prepare", "reproducible", "cache", "cache-read-only"),
            switch("wait", "wait for the build, confirm every digest and record it; --no-wait only starts "
                           "the build", default=True),
            switch("follow", "also print every line of the build's log"),
            number("timeout", 0, "minutes the build may take (0: as configured)"),
            *("json", "plain", "metrics"),
        ),
    ),
)
# fmt: on
