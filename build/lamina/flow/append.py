"""Make code changes without a builder: find out which builds allow it, and append those images."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path

from lamina.decide.append import AppendPlan, EarlierImage, NeedsBuilderError, plan_append
from lamina.decide.plan import Decision, FoundImage, Plan, StoreKind
from lamina.errors import EngineError, LaminaError, Problem, RegistryError
from lamina.execute.append import Appender, AppendStore
from lamina.execute.outcome import Outcome, cut_short
from lamina.execute.revision import read_revision
from lamina.files import read_json, write_json
from lamina.flow.session import Session
from lamina.flow.snapshot import store_kind
from lamina.identify.code_copies import code_copies, code_key, code_tag, loose_parents
from lamina.identify.fingerprint import BuildInputs, content_tag
from lamina.identify.image import Image
from lamina.identify.last_settings import last_settings
from lamina.parallel import gather
from lamina.registries.base import Registry
from lamina.report.record import read_inputs

_OFF_FILE = "append.json"
_THREADS = 8
KeptInputs = Callable[[str, str], BuildInputs | None]
"""Image name and content tag -> the build inputs that are kept on this machine; None if there are none."""


def plan_appends(session: Session, plan: Plan, images: Mapping[str, Image], kind: StoreKind) -> Plan:
    """Return the plan with, for each build, how it is appended or why it needs a builder.

    images: all images with their bases. kind: of the store that they go to.
    """
    builds = plan.acting("build")
    if session.project.settings.append == "never":
        return plan
    common = _common_reason(session, kind)
    if common:
        return with_appends(plan, {each.image.name: common for each in builds})
    try:
        kept = partial(read_inputs, session.project.state)
        return with_appends(plan, find_appends(_store(session, kind, images), plan, images, kept))
    except (RegistryError, EngineError) as error:
        return with_appends(plan, {each.image.name: error.problems[0].what for each in builds})


def _store(session: Session, kind: StoreKind, images: Mapping[str, Image]) -> AppendStore:
    if kind == "registry":
        from lamina.execute.append_registry import RegistryAppends

        return RegistryAppends(session.registry, images)
    from lamina.execute.append_engine import EngineAppends
    from lamina.execute.engine_content import read_content

    read = partial(read_content, session.runner, session.engine)
    return EngineAppends(session.local_store, session.project.state, images, read, session.mask)


def find_appends(
    store: AppendStore, plan: Plan, images: Mapping[str, Image], kept: KeptInputs = lambda *_: None
) -> Mapping[str, AppendPlan | str]:
    """Return for each build how it is appended, or why it needs a builder. Raises RegistryError.

    kept: finds build inputs that are too large to travel with an image.
    """
    builds = plan.acting("build")
    own = {each.image.name: _own_reason(each, plan, images) for each in builds}
    finder = _Finder(store, images, kept)
    finder.find_earlier(each.image for each in builds if not own[each.image.name])
    verdicts: dict[str, AppendPlan | str] = {}
    for decision in builds:
        name = decision.image.name
        verdicts[name] = own[name] or _verdict(decision, verdicts, images, finder)
    return verdicts


def with_appends(plan: Plan, verdicts: Mapping[str, AppendPlan | str]) -> Plan:
    """Return the plan with the verdicts of `find_appends`."""
    decisions = dict(plan.decisions)
    for name, verdict in verdicts.items():
        appends = verdict if isinstance(verdict, AppendPlan) else None
        builder = verdict if isinstance(verdict, str) else None
        decisions[name] = replace(decisions[name], append=appends, builder=builder)
    return replace(plan, decisions=decisions)


def _common_reason(session: Session, kind: StoreKind) -> str | None:
    """Return why no image of this run is appended."""
    if session.flags.force or session.flags.refresh:
        return "--refresh" if session.flags.refresh else "--force"
    if session.project.settings.reproducible:
        return "reproducible images are made by BuildKit"
    if session.attestations:
        return "attestations are made by BuildKit"
    if kind == "engine" and not session.engine.containerd:
        return "the engine does not have the containerd image store"
    return why_off(session.project.state)


def _own_reason(decision: Decision, plan: Plan, images: Mapping[str, Image]) -> str | None:
    """Return why an image is not appended, as far as no store is needed to know it."""
    image = decision.image
    if image.name in plan.found:
        return decision.reasons[0]
    if "unlocked" in image.inputs.bases.values():
        return "an external image is not locked yet"
    if not code_copies(image.node.recipe) and not loose_parents(image, images):
        return "nothing on top of it is a COPY --link from the context"
    return None


def _verdict(
    decision: Decision,
    verdicts: Mapping[str, AppendPlan | str],
    images: Mapping[str, Image],
    finder: _Finder,
) -> AppendPlan | str:
    image = decision.image
    for parent in image.node.parents:
        if isinstance(verdicts.get(parent), str):
            return f"its base {parent} needs a builder"
    before = finder.earlier.get(image.name)
    if before is None:
        return f"no image in {finder.store.name} differs from it in its code alone"
    try:
        moved = [name for name in loose_parents(image, images) if finder.has_moved(name, before)]
        return plan_append(image, before, images, moved[0] if moved else None)
    except NeedsBuilderError as error:
        return str(error)


@dataclass(slots=True)
class _Finder:
    """Finds earlier images. earlier: image -> the one under its code tag."""

    store: AppendStore
    images: Mapping[str, Image]
    kept: KeptInputs
    earlier: dict[str, EarlierImage] = field(default_factory=dict)
    _inputs: dict[tuple[str, str], BuildInputs | None] = field(default_factory=dict)

    def find_earlier(self, images: Iterable[Image]) -> None:
        """Look the images up, all at once."""
        for name, image in self.store.earlier(images).items():
            self.earlier[name] = self._with_inputs(name, image)
            if inputs := self.earlier[name].inputs:
                self._inputs[name, inputs.fingerprint] = inputs

    def _with_inputs(self, name: str, image: EarlierImage) -> EarlierImage:
        if image.inputs or not image.fingerprint:
            return image
        return replace(image, kept=self.kept(name, content_tag(image.fingerprint)))

    def has_moved(self, base: str, before: EarlierImage) -> bool:
        """Whether a loose base is another one than below an earlier image.

        Raises NeedsBuilderError unless it differs in its code alone.
        """
        inputs = before.inputs
        if inputs is None:
            raise NeedsBuilderError("the image before carries no build inputs")
        fingerprint = inputs.parents.get(base, "")
        self._check(base, fingerprint)
        return fingerprint != self.images[base].fingerprint

    def _check(self, base: str, fingerprint: str) -> None:
        image = self.images[base]
        if fingerprint == image.fingerprint:
            return
        inputs = self._inputs_of(image, fingerprint)
        if inputs is None:
            raise NeedsBuilderError(f"what {base} was before is not known")
        if code_key(image, inputs, self.images) != code_key(image, image.inputs, self.images) or (
            last_settings(inputs.instructions) != last_settings(image.inputs.instructions)
        ):
            raise NeedsBuilderError(f"its base {base} differs in more than code")
        for each in loose_parents(image, self.images):
            self._check(each, inputs.parents.get(each, ""))

    def _inputs_of(self, image: Image, fingerprint: str) -> BuildInputs | None:
        key = image.name, fingerprint
        if key not in self._inputs:
            found = self.store.of_inputs(image, fingerprint)
            kept = self.kept(image.name, content_tag(fingerprint))
            inputs = self._with_inputs(image.name, found).inputs if found else kept
            self._inputs[key] = inputs if inputs and inputs.fingerprint == fingerprint else None
        return self._inputs[key]


def check_appends(session: Session, plan: Plan) -> None:
    """Raise EngineError with every image that needs a builder, if only appending is wanted."""
    settings = session.project.settings
    if settings.append != "only":
        return
    EngineError.check(
        Problem(
            what=f"{each.image.name} needs a builder: {each.builder or 'no earlier image was looked for'}",
            where=settings.source("append"),
            allowed="append auto or never, where there is an engine",
        )
        for each in plan.acting("build")
        if not each.append
    )


def append_images(
    session: Session, plan: Plan, images: Mapping[str, Image]
) -> tuple[Outcome, Mapping[str, str]]:
    """Append the images that need no builder, bases first, and confirm them in their store.

    Return them, and image -> why it needs a builder after all: its earlier image has lost layers. If only
    appending is wanted, the outcome says so.
    """
    waiting = {each.image.name: each for each in plan.appends}
    if not waiting:
        return Outcome(results={}), {}
    revision = read_revision(session.runner, session.project.root)
    commit = revision.commit if revision and revision.clean else None
    store = _store(session, store_kind(session), images)
    worker = Appender(store, images, plan.found, commit, static=session.static)
    refused = worker.refused
    outcome = Outcome(results=worker.results)
    try:
        while waiting:
            ready = [each for each in waiting.values() if each.append and each.append.moved not in waiting]
            gather(worker.run, ready, threads=_THREADS)
            for name, each in waiting.items():
                if each.append and each.append.moved in refused:
                    refused[name] = f"its base {each.append.moved} needs a builder"
            done = worker.results.keys() | refused.keys()
            waiting = {name: each for name, each in waiting.items() if name not in done}
        check_appends(session, without_appended(with_appends(plan, refused), outcome))
    except (LaminaError, OSError, KeyboardInterrupt) as error:
        outcome = Outcome(results=dict(worker.results))  # threads that Ctrl-C left behind may add some
        left = [each for each in plan.appends if each.image.name not in outcome.results]
        return cut_short(outcome, left, error), refused
    return outcome, refused


def without_appended(plan: Plan, outcome: Outcome) -> Plan:
    """Return the plan of what is left to a builder, in which the appended images exist."""
    appended = {
        name: FoundImage(ref=each.image.ref, digest=each.digest)
        for name, each in outcome.results.items()
        if each.digest
    }
    decisions = {name: each for name, each in plan.decisions.items() if name not in outcome.results}
    return replace(plan, decisions=decisions, found={**plan.found, **appended})


def tag_for_appends(registry: Registry, outcome: Outcome, images: Mapping[str, Image]) -> tuple[Problem, ...]:
    """Give built and pushed images the tags under which later code changes find them.

    Return why some have none.
    """

    def tag(image: Image) -> Problem | None:
        name = image.repository.with_tag(code_tag(image, images))
        try:
            registry.retag(image.ref, name)
        except RegistryError as error:
            with suppress(RegistryError):
                if registry.manifest(name):  # where tags are immutable, an earlier image does as well
                    return None
            what = f"{image.name} has no tag for code changes: {error.problems[0].what}"
            return replace(error.problems[0], what=what)
        return None

    return tuple(filter(None, gather(tag, _changeable(outcome, images), threads=_THREADS)))


def note_for_appends(state: Path, outcome: Outcome, images: Mapping[str, Image]) -> None:
    """Note the images that were built into the engine, so that later code changes find them."""
    from lamina.execute.kept_images import note_image

    for image in _changeable(outcome, images):
        note_image(state, image, code_tag(image, images))


def _changeable(outcome: Outcome, images: Mapping[str, Image]) -> list[Image]:
    """Return the images that were built or pushed and to which code changes can be appended."""
    new = [each.image for each in outcome.results.values() if each.status in {"built", "pushed"}]
    ready = () if outcome.interrupted else new
    return [each for each in ready if code_copies(each.node.recipe) or loose_parents(each, images)]


def why_off(state: Path) -> str | None:
    """Return why appending is switched off on this machine; None if it is not."""
    found = read_json(state / _OFF_FILE)
    return f"switched off: {found['off']}" if isinstance(found, dict) and found.get("off") else None


def switch_off(state: Path, reason: str) -> Path:
    """Switch appending off for the project on this machine, until the returned file is deleted."""
    write_json(state / _OFF_FILE, {"off": reason})
    return state / _OFF_FILE
