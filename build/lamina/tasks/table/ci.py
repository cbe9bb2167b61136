"""In CI: what a CI job runs."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from lamina.tasks.command import CliCommand, Flag, number, repeated, switch, text
from lamina.tasks.flags import BUILD, FLAGS, LIVE, flags, image_flag, images_flag


def _lint_prints_json(given: Mapping[str, object]) -> bool:
    return bool(given["json"]) or (given["output-format"] == "json" and not given["output-file"])


def _lint_prints_a_format(given: Mapping[str, object]) -> bool:
    return given["output-format"] in {"github", "gitlab", "sarif"} and not given["output-file"]


# fmt: off
CI: tuple[CliCommand, ...] = (
    CliCommand(
        name="build-all", runs="images:build_all", flags=BUILD,
        help="Build every image that changed, bases first; with --push, into the registry.",
    ),
    CliCommand(
        name="push", runs="images:push", fixed={"push": True},
        help="Push the built images that the registry does not have yet, and confirm every digest.",
        flags=flags(
            "image", "registry", "create", "stack", "platform", "allow-stand-in", "stall", "json",
        ),
    ),
    CliCommand(
        name="lint", runs="linting:lint", prints_json=_lint_prints_json,
        only_result=_lint_prints_a_format,
        help="Find faults in Dockerfiles that defeat the cache or fail on Lambda; --fix fixes them.",
        flags=flags(
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
        name="check", runs="checking:check", words="ref",
        help="Check whether Lambda accepts the pushed images: media types, architecture, layers, size, "
             "region.",
        flags=flags(
            "image",
            repeated("ref", "check this image of any registry instead, by tag or digest (may be given "
                            "several times)"),
            "max-severity", *LIVE,
        ),
    ),
    CliCommand(
        name="outputs", runs="handoff:outputs", fixed={"offline": True},
        only_result=lambda _: True,
        help="Print the images that functions should run, by digest, for Terraform, CDK or a shell; works "
             "offline.",
        flags=flags(
            images_flag("only this image (may be given several times; default: all Lambda images)"),
            text("format", "json, env (for sh), tfvars (Terraform) or cdk (a context object)", default="json",
                 field="form"),
            switch("plan-only", "print content tags, computed from the files alone, pushed or not"),
            switch("allow-stale", "print the digests of the last push even if the files have changed since"),
            Flag(name="ssm", default="", bare=True,
                 help="also write a parameter of AWS Systems Manager for each image, by digest: "
                      "PREFIX/<stack>/<image> (default: /lamina)"),
            switch("dry-run", "with --ssm: show which parameters would change, and change nothing"),
            text("approve", "with --ssm: write those of this stack, which is configured to need an approval"),
            "registry", "stack", "platform", "static",
        ),
    ),
    CliCommand(
        name="tag", runs="images:tag",
        help="Print each image's tags: the content tag, git-<sha> on a clean tree, stable in static mode.",
        flags=flags(
            "image", *LIVE,
            switch("apply", "set the tags on the images; in a registry without pulling them"),
        ),
    ),
    CliCommand(
        name="report", runs="explain:report", words="run",
        help="Report how well the cache worked in a run: which steps ran and why, their cost, and the "
             "savings.",
        flags=flags(
            text("run", "the run to report, by its name or the beginning of it (default: the latest)",
                 default=""),
            number("last", 10, "how many runs to search for steps that are often slow"),
            switch("list", "only list the kept runs", field="list_"),
            Flag(name="html", default="", bare=True,
                 help="write an HTML page to this file instead (default: .lamina/report.html); with --list "
                      "one page for all kept runs"),
            text("since", "sum up the kept runs of a period: 12h, 30d, 2w, or since an ISO date"),
            "json",
        ),
    ),
    CliCommand(
        name="audit", runs="explain:audit",
        help="Check that skips are right: solve each skipped image and compare its layers with the stored "
             "image.",
        flags=flags(
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
        flags=flags(image_flag("the image to rebuild"), "registry", "stack", "platform", "json", "plain"),
    ),
)
# fmt: on
