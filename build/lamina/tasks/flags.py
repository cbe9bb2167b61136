"""The flags that several commands take: one table of names, kinds, help and where each value goes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from lamina.tasks.command import Flag, switch, text

# fmt: off
_SHARED = (
    Flag(name="image", kind=list, goes_to="flags", field="images",
         help="only this image (may be given several times)"),
    Flag(name="shard", goes_to="flags",
         help="only this part of the Lambda images, as 2/5: the same parts on every machine"),
    Flag(name="registry", goes_to="setting",
         help="where images live: local, ecr, or host[:port][/prefix]"),
    Flag(name="push", kind=bool, default=False, goes_to="flags",
         help="push to the registry, and confirm every digest"),
    Flag(name="platform", goes_to="setting",
         help="linux/amd64 or linux/arm64"),
    Flag(name="stack", goes_to="setting",
         help="part of the repository name: dev, prod, ..."),
    Flag(name="builder", kind=list, goes_to="setting",
         help="a buildx builder instead of the engine's own; several share a push"),
    Flag(name="static", kind=bool, default=False, goes_to="setting",
         help="build Lambda images on <base>:stable and leave the bases alone"),
    Flag(name="force", kind=bool, default=False, goes_to="flags",
         help="build even what is up to date"),
    Flag(name="refresh", kind=bool, default=False, goes_to="flags",
         help="build even what is up to date, without BuildKit's cache, to pick up new versions of unpinned "
              "inputs; the content tag moves to the new image, which a registry with immutable tags refuses"),
    Flag(name="prepare", kind=bool, default=False, goes_to="flags",
         help="first run `before` of the images, which makes sources that they copy"),
    Flag(name="upstream", kind=bool, default=False, goes_to="flags",
         help="ask the registries of pinned images for newer ones; this rebuilds nothing"),
    Flag(name="jobs", goes_to="setting",
         help="how many images to build at once (0: all)"),
    Flag(name="reproducible", kind=bool, default=False, goes_to="setting",
         help="fix every timestamp in the image: cold builds anywhere give the same digest (slower)"),
    Flag(name="keep-going", kind=bool, default=False, goes_to="flags",
         help="after a failure, build the images that are not based on the failed one"),
    Flag(name="create", kind=bool, default=False, goes_to="flags",
         help="create missing repositories"),
    Flag(name="allow-stand-in", kind=bool, default=False, goes_to="flags",
         help="push images that are based on a stand-in runtime"),
    Flag(name="stall", goes_to="setting",
         help="seconds without progress after which a registry transfer fails (0: no limit; default 120)"),
    Flag(name="append", goes_to="setting",
         help="make code changes without a builder: auto, never, or only (exit 4 where one is needed)"),
    Flag(name="cache", goes_to="setting",
         help="remote cache: auto (max where it pays), max, min, inline or off"),
    Flag(name="cache-read-only", kind=bool, default=False, goes_to="setting",
         help="read the remote cache, but do not write it"),
    Flag(name="provenance", bare="min", goes_to="setting",
         help="attest how each pushed image was built, under its own tag: min, or max with all steps"),
    Flag(name="sbom", kind=bool, default=False, goes_to="setting",
         help="attest the packages of each pushed image, under the same tag"),
    Flag(name="sbom-generator", goes_to="setting",
         help="the image that lists the packages of an image"),
    Flag(name="metrics", goes_to="setting",
         help="write the metrics of the build, even if it fails, to a .prom file (Prometheus), or to a .json "
              "or .jsonl file or - (CloudWatch)"),
    Flag(name="max-severity", goes_to="setting",
         help="the worst finding of ECR's scan that an image may have: any (not read), none, informational, "
              "low, medium or high"),
    Flag(name="offline", kind=bool, default=False, goes_to="flags",
         help="contact neither engine nor registry"),
    Flag(name="json", kind=bool, default=False, goes_to="screen",
         help="print one JSON object and nothing else"),
    Flag(name="plain", kind=bool, default=False, goes_to="screen",
         help="print plain lines instead of the live view"),
)
# fmt: on
FLAGS: Mapping[str, Flag] = {flag.name: flag for flag in _SHARED}


def flags(*chosen: str | Flag) -> tuple[Flag, ...]:
    """Return flags of the table by name, and those of one command as they are."""
    return tuple(FLAGS[each] if isinstance(each, str) else each for each in chosen)


def images_flag(help: str) -> Flag:  # noqa: A002
    """Return the flag of images with another help."""
    return replace(FLAGS["image"], help=help)


def image_flag(help: str) -> Flag:  # noqa: A002
    """Return the flag of a command that needs one image."""
    return Flag(name="image", positional=True, help=help)


BUILD = flags(
    *("image", "registry", "push", "create", "platform", "stack", "builder", "static", "force", "refresh"),
    *(
        "prepare",
        "jobs",
        "reproducible",
        "keep-going",
        "allow-stand-in",
        "append",
        "cache",
        "cache-read-only",
    ),
    *("provenance", "sbom", "sbom-generator", "stall", "json", "plain", "shard", "metrics"),
)
LIVE = ("registry", "stack", "platform", "static", "json")
DRY_RUN = switch("dry-run", "show what would change, and change nothing")
FORMAT = text(
    "format",
    "change nothing, and print what should be there instead: cloudformation, terraform (a .tf.json), or cdk "
    "(a program in Python)",
    default="",
    field="form",
)
