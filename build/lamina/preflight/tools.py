"""Programs and options of RUN that do not exist in the image or in the tool."""

from __future__ import annotations

import posixpath
import re
from collections.abc import Iterator, Mapping

from lamina.declare.script import ShellCommand
from lamina.patterns import regex
from lamina.preflight.fault import Fault, Rule
from lamina.preflight.requirements import installed_lines
from lamina.preflight.view import ImageView, RunView, is_sure, line_of, words_of

PROGRAM = Rule(
    id="LAM621",
    slug="missing-program",
    summary="a RUN that uses a program which its base image does not have",
    why="the step fails, after everything before it was built",
    logs=(
        r"(?:yum|apt-get|apt|apk|dnf|microdnf|git|gcc): (?:command )?not found",
        r"Cannot find command 'git'",
        r"error: command 'gcc' failed: No such file",
    ),
    advice="install the program first, with the package manager of the base image",
    in_builds=True,
)
OPTION = Rule(
    id="LAM622",
    slug="unknown-option",
    summary="an option that belongs to another command of the tool",
    why="the tool refuses it, and the step fails",
    logs=(
        r"unexpected argument '--[\w-]+' found",
        r"no such option: --[\w-]+",
        r'The option "--[\w-]+" does not exist',
    ),
    advice="use the option's counterpart, which the finding names",
    in_builds=True,
)
KEY = Rule(
    id="LAM627",
    slug="ssh-key",
    summary="a requirement that is fetched over SSH by a step without an agent or a known host",
    why="git cannot log in, and a build cannot be asked",
    logs=(r"Permission denied \(publickey", r"Host key verification failed"),
    advice="RUN --mount=type=ssh with ssh = true in [tool.lamina], and ssh-keyscan for the host",
    in_builds=True,
)
RULES = (PROGRAM, OPTION, KEY)
_MANAGERS: Mapping[str, str] = {
    "al2": "yum",
    "al2023": "dnf",
    "debian": "apt-get",
    "ubuntu": "apt-get",
    "alpine": "apk",
}
"""System -> its package manager."""
_PRESENT: Mapping[str, frozenset[str]] = {
    "al2": frozenset({"yum", "rpm"}),
    "al2023": frozenset({"dnf", "microdnf", "rpm"}),
    "debian": frozenset({"apt-get", "apt", "dpkg"}),
    "ubuntu": frozenset({"apt-get", "apt", "dpkg"}),
    "alpine": frozenset({"apk"}),
}
_ALL_MANAGERS = frozenset({"yum", "dnf", "microdnf", "apt-get", "apt", "apk"})
_FULL_2023 = regex(r"amazonlinux|sam/build|sam-cli-build")
"""Images of Amazon Linux 2023 proper have both dnf and yum; only Lambda's minimal ones do not."""
_GIT = regex(r"\bgit\+(\w+)://")
_LOCKED_GIT = regex(rb'\nsource = \{ git = "(\w+)://')
_OTHER_KEY = regex(r"id_(?:rsa|ed25519|ecdsa)|GIT_SSH|insteadOf|SSH_PRIVATE|core\.sshCommand|type=secret")
_KNOWS_HOST = regex(r"known_hosts|ssh-keyscan|StrictHostKeyChecking")
_SYSTEM = "install into the system: ENV UV_PROJECT_ENVIRONMENT=/var/lang, or /usr/local"
# uv and pip refuse each of these, which are options of their sibling commands.
WRONG_OPTIONS: Mapping[tuple[str, ...], Mapping[str, str]] = {
    ("uv", "sync"): {
        "--system": _SYSTEM,
        "--user": _SYSTEM,
        "--target": "uv export -o requirements.txt, then uv pip install --target",
        "--prefix": "uv export -o requirements.txt, then uv pip install --prefix",
        "--requirement": "uv pip sync requirements.txt",
        "-r": "uv pip sync requirements.txt",
        "--break-system-packages": _SYSTEM,
        "--no-root": "--no-install-project",
        "--without-dev": "--no-dev",
        "--only-main": "--no-dev",
        "--production": "--no-dev",
        "--prod": "--no-dev",
        "--deploy": "--locked",
    },
    ("uv", "pip", "install"): {
        "--frozen": "uv sync --frozen",
        "--locked": "uv sync --locked",
        "--no-dev": "uv sync --no-dev",
        "--no-install-project": "uv sync --no-install-project",
        "--root-user-action": "drop it: uv does not warn about root",
        "--platform": "--python-platform",
        "--user": "--target or --system: uv does not support --user",
        "--no-root": "uv sync --no-install-project",
    },
    ("pip", "install"): {
        "--frozen": "uv sync --frozen",
        "--locked": "uv sync --locked",
        "--system": "drop it: pip installs into its own Python",
        "--no-dev": "a requirements file without them",
        "--no-root": "drop it",
        "--python-platform": "--platform with --only-binary=:all:",
        "--only-main": "a requirements file without them",
        "--production": "drop it",
    },
}


def program_faults(view: ImageView) -> Iterator[Fault]:
    """Yield programs that are not in the base image of a step."""
    for step in view.runs:
        for command in step.commands:
            words = words_of(command)
            if not words:
                continue
            yield from _manager(view, step, command, posixpath.basename(words[0]))
        yield from _git(view, step)


def _fault(
    view: ImageView, step: RunView, command: ShellCommand, rule: Rule, *, message: str, hint: str, unless: str
) -> Fault:
    sure = is_sure(command, step)
    return view.fault(
        rule,
        line=line_of(step, command, view.image.node.recipe.dockerfile.text),
        message=message,
        hint=hint,
        certainty="certain" if sure else "likely",
        unless=unless if sure else "the step goes on when the command fails",
    )


def _manager(view: ImageView, step: RunView, command: ShellCommand, program: str) -> Iterator[Fault]:
    system = step.base.system
    if program not in _ALL_MANAGERS or system is None or program in _PRESENT[system]:
        return
    if program == "yum" and _FULL_2023.search(step.base.name):
        return
    if re.search(
        rf"install\b.*\b{program}\b|ln\s.*\b{program}\b|\b{program}\b\s*\(\)|alias {program}=",
        _earlier(step, command),
    ):
        return
    if re.search(rf"command -v {program}|which {program}|type {program}", step.text):
        return
    own = _MANAGERS[system]
    called = {"al2": "Amazon Linux 2", "al2023": "Amazon Linux 2023"}.get(system, system.capitalize())
    yield _fault(
        view,
        step,
        command,
        PROGRAM,
        message=f"{step.base.name} has no {program}: it is {called}, whose package manager is {own}",
        hint=f"use {own} in place of {program}",
        unless=f"an image of that name with {program} takes its place",
    )


def _earlier(step: RunView, command: ShellCommand) -> str:
    """Return everything that runs before a command."""
    before = (each for each in step.commands if each.start < command.start)
    return "\n".join([step.before, *(" ".join(word.text for word in each.words) for each in before)])


def _git(view: ImageView, step: RunView) -> Iterator[Fault]:
    """Yield requirements from git repositories that a step installs without git, or without ssh."""
    if not step.base.slim or step.base.system is None:
        return
    script = step.before + "\n" + step.text
    for where, over_ssh in _repositories(view, step):
        lacks = [] if re.search(r"(?:install|add)\b[^\n]*\bgit\b|COPY[^\n]*\bgit\b", script) else ["git"]
        if over_ssh and not re.search(
            r"openssh|ssh-client|\bssh\b(?!:)", re.sub(r"type=ssh|git\+ssh", "", script)
        ):
            lacks.append("ssh")
        if lacks:
            own = _MANAGERS[step.base.system]
            packages = {
                "git": "git",
                "ssh": "openssh-client" if own in {"apt-get", "apk"} else "openssh-clients",
            }
            yield view.fault(
                PROGRAM,
                line=step.instruction.line,
                message=f"{where} is a git repository, and {step.base.name} has no {' and no '.join(lacks)}",
                hint=f"RUN {own} {'add' if own == 'apk' else 'install -y'} "
                + " ".join(packages[each] for each in lacks),
                certainty="likely",
                unless=f"a step before installs {' and '.join(lacks)} in a way that is not seen",
            )
        return


def _repositories(view: ImageView, step: RunView) -> Iterator[tuple[str, bool]]:
    """Yield where a step is told of a git repository to install, and whether that is reached over SSH."""
    for line in installed_lines(view, step):
        if found := _GIT.search(line.text):
            yield line.where, found[1] == "ssh"
    syncs = any(words[1:2] == ["sync"] and words[0].endswith("uv") for words in map(words_of, step.commands))
    origin = step.sees.files.get(f"{step.sees.workdir.rstrip('/')}/uv.lock") if syncs else None
    content = view.content(origin) or b"" if origin else b""
    for locked in _LOCKED_GIT.finditer(content):
        line_number = content.count(b"\n", 0, locked.start()) + 2
        yield f"{view.shown(origin or '')}:{line_number}", locked[1] == b"ssh"


def key_faults(view: ImageView) -> Iterator[Fault]:
    """Yield repositories that a step fetches over SSH without a key, or without knowing the host."""
    for step in view.runs:
        where = next((where for where, over_ssh in _repositories(view, step) if over_ssh), None)
        script = step.before + "\n" + step.text
        if where is None or _OTHER_KEY.search(script):
            continue
        if not any("type=ssh" in each for each in step.instruction.flags):
            fact, hint = "and the step has no key", "RUN --mount=type=ssh, and ssh = true in [tool.lamina]"
        elif not _KNOWS_HOST.search(script):
            fact = "and the step does not know the key of its host"
            hint = "RUN mkdir -m 700 ~/.ssh && ssh-keyscan github.com >> ~/.ssh/known_hosts"
        else:
            continue
        yield view.fault(
            KEY,
            line=step.instruction.line,
            message=f"{where} is fetched over SSH, {fact}",
            hint=hint,
            certainty="likely",
            unless=f"{step.base.name} contains it",
        )


def option_faults(view: ImageView) -> Iterator[Fault]:
    """Yield options that the tool does not have."""
    for step in view.runs:
        for command in step.commands:
            words = words_of(command)
            words = words[2:] if len(words) > 2 and words[1] == "-m" and "python" in words[0] else words
            if not words:
                continue
            words = [re.sub(r"^pip[\d.]+$", "pip", posixpath.basename(words[0])), *words[1:]]
            tool = next((each for each in WRONG_OPTIONS if tuple(words[: len(each)]) == each), None)
            for word in words[len(tool) :] if tool else ():
                option = word.partition("=")[0]
                if tool and option in WRONG_OPTIONS[tool]:
                    yield _fault(
                        view,
                        step,
                        command,
                        OPTION,
                        message=f"{' '.join(tool)} has no option {option}",
                        hint=f"instead: {WRONG_OPTIONS[tool][option]}",
                        unless=f"another version of {tool[0]} has it",
                    )
