"""Engine: the private engine and the local registry."""

from __future__ import annotations

from lamina.tasks.command import CliCommand, number, switch
from lamina.tasks.flags import flags

_PURGE = switch("purge", "also remove its images and caches")

# fmt: off
ENGINE: tuple[CliCommand, ...] = (
    CliCommand(
        name="engine.up", runs="sandboxes:engine_up",
        help="Start the private Docker engine (Linux, root, Debian family); nothing is installed.",
    ),
    CliCommand(
        name="engine.down", runs="sandboxes:engine_down", flags=flags(_PURGE),
        help="Stop the private Docker engine.",
    ),
    CliCommand(
        name="engine.status", runs="sandboxes:engine_status",
        help="Show which Docker engine would build, and whether the private one runs.",
    ),
    CliCommand(
        name="registry.up", runs="sandboxes:registry_up",
        help="Start a local registry on the loopback interface.",
        flags=flags(number("port", 5000, "the port on 127.0.0.1 (0: any free one)")),
    ),
    CliCommand(
        name="registry.down", runs="sandboxes:registry_down", flags=flags(_PURGE),
        help="Stop the local registry.",
    ),
)
# fmt: on
