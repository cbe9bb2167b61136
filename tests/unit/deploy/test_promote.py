"""Promote: where images go in another stack's repositories, and a copy that ends at any of its requests."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import closing, suppress
from dataclasses import dataclass, field, replace
from itertools import count
from typing import IO

import pytest

from lamina.decide.plan import FoundImage
from lamina.deploy.promote import copy_images, left_out, placed
from lamina.errors import LaminaError, SelectionError
from lamina.execute.image_store import RegistryStore
from lamina.identify.fingerprint import FINGERPRINT_KEY
from lamina.refs import Reference
from lamina.registries.http import HttpResponse, Request, Unreachable
from memory import HOST, MemoryRegistry, Shop

FINGERPRINT = "ab" * 32
ONE, OTHER = (f"sha256:{each * 64}" for each in "12")
DEV, PROD = (Reference.parse(f"registry.example/app-{stack}") for stack in ("dev", "prod"))


def image(ref: Reference, digest: str) -> FoundImage:
    return FoundImage(ref=ref, digest=digest, fingerprint=FINGERPRINT)


def place(*there: tuple[Reference, str], lost: tuple[str, ...] = ()) -> tuple[Reference, bool]:
    """Return where an image of dev goes in prod, where these are, and whether it is there already.

    lost: blobs that prod's repository has lost of them.
    """
    stored = {ref: image(ref, digest) for ref, digest in there}

    def find(refs: Iterable[Reference]) -> Mapping[Reference, FoundImage]:
        return {ref: stored[ref] for ref in refs if ref in stored}

    def examine(images: Mapping[str, FoundImage]) -> Mapping[str, FoundImage]:
        return {name: replace(each, lost=lost) for name, each in images.items()}

    (made,) = placed({"app": image(DEV.with_digest(ONE), ONE)}, {"app": PROD}, find, examine)
    assert (made.tag, made.digest) == (TAG.tag, ONE)
    return made.target, made.present


TAG = PROD.with_tag("sha-abababababab")


def test_an_image_gets_its_content_tag() -> None:
    assert place() == (TAG, False)
    assert place((TAG, ONE)) == (TAG, True)


def test_a_tag_that_names_another_image_is_not_moved() -> None:
    by_digest = PROD.with_digest(ONE)

    assert place((TAG, OTHER)) == (by_digest, False)
    assert place((TAG, OTHER), (by_digest, ONE)) == (by_digest, True)


def test_an_image_that_has_lost_a_layer_is_sent_again() -> None:
    assert place((TAG, ONE), lost=("sha256:" + "3" * 64,)) == (TAG, False)


def test_images_with_functions_in_one_stack_only_are_named() -> None:
    notes = left_out({"dev": ["app", "jobs"], "prod": ["app", "mail"]})

    assert [each.what for each in notes] == [
        "jobs is left out: it has no function in prod",
        "mail is left out: it has no function in dev",
    ]
    with pytest.raises(SelectionError, match="no image has functions in both dev and prod") as caught:
        left_out({"dev": ["jobs"], "prod": ["mail"]})
    assert "dev: jobs; prod: mail" in str(caught.value)


IMAGES = ("lambda-embedding", "lambda-word-label")


class Killed(BaseException):
    """What kill -9 is: nothing is done any more."""


def kill(number: int, at: int) -> None:
    if number >= at:
        raise Killed


def press(number: int, at: int) -> None:
    if number == at:
        signal.pthread_kill(threading.main_thread().ident or 0, signal.SIGINT)


def cut(number: int, at: int) -> None:
    if number == at:
        raise Unreachable("refused", "connection refused")


Trouble = Callable[[int, int], None]
"""Called with the number of a request, and the number of the one at which something happens."""


@dataclass(slots=True)
class Wire:
    """What happens before requests to registries."""

    trouble: Trouble = lambda number, at: None
    at: int = 0
    numbers: Iterator[int] = field(default_factory=count)
    asked: int = 0

    def before(self) -> None:
        number = next(self.numbers)
        self.asked = max(self.asked, number + 1)
        self.trouble(number, self.at)


@dataclass(slots=True)
class WiredRegistry(MemoryRegistry):
    wire: Wire = field(default_factory=Wire)

    def send(
        self, request: Request, *, sink: IO[bytes] | None = None, most: int | None = None
    ) -> HttpResponse:
        self.wire.before()
        return MemoryRegistry.send(self, request, sink=sink, most=most)


@dataclass(slots=True)
class Stacks:
    """Images of dev, which prod is to get: in the same registry, or in another one."""

    shop: Shop
    host: str
    dev: WiredRegistry = field(default_factory=WiredRegistry)
    prod: WiredRegistry = field(default_factory=WiredRegistry)

    def __post_init__(self) -> None:
        if self.host == HOST:
            self.prod = self.dev
        for name in IMAGES:
            layers = {each: f"{each} of {name}".encode() for each in ("FROM", "COPY", "RUN")}
            self.dev.push(self.source(name), {FINGERPRINT_KEY: f"sha256:{FINGERPRINT}"}, layers)

    def source(self, name: str) -> Reference:
        return Reference.parse(f"{HOST}/{name}-dev:sha-1")

    def promote(self, wire: Wire) -> bool:
        """Plan and copy. Return whether anything was left to be copied."""
        self.dev.wire = self.prod.wire = wire
        self.shop.registry = self.dev
        with closing(self.shop.open(stack="dev")) as dev:
            self.shop.registry = self.prod
            with closing(self.shop.open(stack="prod", registry=self.host)) as prod:
                existing = RegistryStore(dev.registry).find(map(self.source, IMAGES))
                store = RegistryStore(prod.registry)
                images = placed(
                    {name: existing[self.source(name)] for name in IMAGES},
                    {name: Reference.parse(f"{self.host}/{name}-prod") for name in IMAGES},
                    store.find,
                    store.examine,
                )
                copy_images(dev, prod, images)
                return not all(each.present for each in images)


@pytest.mark.usefixtures("at_ctrl_c")
@pytest.mark.parametrize("host", [HOST, "other.example"], ids=["one registry", "two registries"])
@pytest.mark.parametrize("trouble", [kill, press, cut])
def test_a_promotion_that_ends_at_a_request_of_a_registry_is_done_by_the_next_one(
    shop: Shop, host: str, trouble: Trouble
) -> None:
    for at in count():
        stacks, wire = Stacks(shop, host), Wire(trouble, at)
        with suppress(Killed, KeyboardInterrupt, LaminaError):
            stacks.promote(wire)
        for each in threading.enumerate():
            if each.name.startswith("gather_"):
                each.join()
        done = stacks.prod.tags("lambda-embedding-prod") and stacks.prod.tags("lambda-word-label-prod")

        again = stacks.promote(Wire())

        assert again is not bool(done), f"{at}: {stacks.prod.asked}"
        assert not stacks.promote(Wire())
        for name in IMAGES:
            assert stacks.prod.digest(f"{name}-prod", str(TAG.tag)) == stacks.dev.digest(
                f"{name}-dev", "sha-1"
            )
        if wire.asked <= at:
            break
    assert at > 8
