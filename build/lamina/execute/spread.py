"""Run a build on several builders at once: each takes the next images that it can build, until all exist."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from threading import Condition, Lock

from lamina.decide.plan import Decision
from lamina.decide.schedule import Job, next_share
from lamina.errors import EngineError, LaminaError, Problem
from lamina.execute.attempt import BuildState, next_state, with_installs
from lamina.execute.bake import BuildRequest
from lamina.execute.baked import Baked
from lamina.execute.nodes import BuilderLostError, BuilderNode, lost
from lamina.execute.outcome import Outcome, cut_short
from lamina.execute.progress import Trace
from lamina.execute.retry import RetryPolicy
from lamina.execute.run import BuildEnv, call_bake, confirm_call, judge
from lamina.parallel import gather, insist

_SILENT_SECONDS = 2.0
"""How long a busy BuildKit may report nothing before it is asked whether it is still there."""
_ASK_SECONDS = 5.0
"""How long it is not asked again."""
_LAST_MISSES = 3
"""How often the last builder may give no answer; others take over from any other builder after one."""
_TO_OTHERS = "its images go to the other builders, if there are any"


@dataclass(frozen=True, slots=True, kw_only=True)
class Spreading:
    """How a run is spread.

    Attributes:
        nodes: the builders, at least one.
        seconds: image -> predicted seconds of its build.
        made: image -> the builder that built it last.
        ask: returns why a builder does not answer; None if it does.
        say: prints a line.
    """

    nodes: Sequence[BuilderNode]
    seconds: Callable[[str], float]
    made: Mapping[str, str] = field(default_factory=dict)
    ask: Callable[[BuilderNode], str | None]
    say: Callable[[str], None]


def build_spread(
    request: BuildRequest,
    build_env: BuildEnv,
    spreading: Spreading,
    *,
    keep_going: bool = False,
    jobs: int = 0,
) -> Outcome:
    """Build a request whose images go to a registry on several builders. See `lamina.execute.run.build`.

    A builder that ends or hangs is named, and its images go to the others. jobs: images in one call of bake.
    """
    run = _SpreadRun(request, build_env, spreading, keep_going=keep_going, most=jobs)
    return run.outcome(run.work())


class _SpreadRun:
    """A run in progress: a thread for each builder; all they share is behind one lock."""

    def __init__(
        self,
        request: BuildRequest,
        build_env: BuildEnv,
        spreading: Spreading,
        *,
        keep_going: bool,
        most: int,
    ) -> None:
        self._env = build_env
        self._spreading = spreading
        self._keep_going = keep_going
        self._most = most
        self._changed = Condition()
        self._shown = Lock()
        self._state = BuildState(waiting=request)
        self._retries = RetryPolicy(build_env.renew, build_env.sleep)
        self._alive = {node.builder for node in spreading.nodes}
        self._busy: dict[str, tuple[str, ...]] = {}
        self._made = dict(spreading.made)
        self._asked: dict[str, float] = {}
        self._missed: Counter[str] = Counter()
        self._lost: list[Problem] = []
        self._calls = 0
        self._stopped = False
        self._error: BaseException | None = None

    def work(self) -> BaseException | None:
        """Build until nothing is left that can be built. Return what stopped the run, if anything did.

        Ctrl-C stops the calls and waits for their end; a second one ends the wait.
        """
        nodes = self._spreading.nodes
        serve_all = partial(gather, self._serve, nodes, threads=len(nodes))
        insist(serve_all, at_ctrl_c=lambda: self._stop(KeyboardInterrupt()))
        if self._error is None and self._state.waiting.decisions:
            return EngineError(*self._lost)
        return self._error

    def outcome(self, error: BaseException | None) -> Outcome:
        """Return the outcome. Raises an error that stopped the run if no image has a result."""
        notes = [*self._retries.notes, *(() if isinstance(error, EngineError) else self._lost)]
        gone = tuple(node.builder for node in self._spreading.nodes if node.builder not in self._alive)
        so_far = replace(self._state.outcome(notes), lost=gone)
        if error is None:
            return so_far
        if not self._state.results or not isinstance(error, (LaminaError, OSError, KeyboardInterrupt)):
            raise error
        return cut_short(so_far, self._state.waiting.decisions, error)

    def _serve(self, node: BuilderNode) -> None:
        """Build on one builder until there is nothing left for it to do."""
        env = replace(
            self._env,
            builder=node.builder,
            watch=self._watch,
            check=partial(self._check, node),
        )
        try:
            while call := self._take(node):
                batch, number = call
                baked = call_bake(batch, env, number)
                if not self._settle(node, batch, number, self._blamed(node, baked)):
                    return
        except BaseException as error:
            self._stop(error)
        finally:
            with self._changed:
                self._busy.pop(node.builder, None)
                self._changed.notify_all()

    def _take(self, node: BuilderNode) -> tuple[BuildRequest, int] | None:
        """Wait for images that this builder can build. Return them and the call's number; None at the end."""
        with self._changed:
            while not self._stopped and (waiting := self._state.waiting.decisions):
                busy = {name for names in self._busy.values() for name in names}
                barred = self._barred(node, waiting)
                share = next_share(
                    self._jobs(waiting),
                    busy,
                    builder=node.builder,
                    builders=len(self._alive),
                    idle=len(self._alive - self._busy.keys()),
                    made=self._made,
                    most=self._most,
                    barred=barred,
                )
                if share:
                    self._calls += 1
                    self._busy[node.builder] = share
                    chosen = tuple(each for each in waiting if each.image.name in share)
                    return replace(self._state.waiting, decisions=chosen), self._calls
                if not self._busy and not barred:  # what is left waits for nothing that comes
                    return None
                self._changed.wait()
        return None

    def _barred(self, node: BuilderNode, waiting: Iterable[Decision]) -> frozenset[str]:
        """Return the images that another builder has the platform of, and this one has not."""
        others = {
            each for node in self._spreading.nodes if node.builder in self._alive for each in node.platforms
        }
        elsewhere = others.difference(node.platforms)
        return frozenset(each.image.name for each in waiting if each.image.node.spec.platform in elsewhere)

    def _jobs(self, waiting: Sequence[Decision]) -> tuple[Job, ...]:
        names = frozenset(each.image.name for each in waiting)
        return tuple(
            Job(
                name=each.image.name,
                seconds=self._spreading.seconds(each.image.name),
                parents=names.intersection(each.image.node.parents),
            )
            for each in waiting
        )

    def _blamed(self, node: BuilderNode, baked: Baked) -> Baked:
        """Return a failed call as that of a lost builder if its builder does not answer.

        So is one whose exchange with the registry stands still, unless it is the last builder.
        """
        if baked.ok or baked.interrupted or baked.lost:
            return baked
        if stalled := baked.stalled:
            with self._changed:
                others = self._alive - {node.builder}
                self._alive = others or self._alive
            if not others:
                return baked
            problem = Problem(
                what=f"the builder {node} is given up: {stalled.problems[0].what}", hint=_TO_OTHERS
            )
            self._spreading.say(problem.what)
            return replace(baked, stalled=None, lost=problem)
        reason = self._spreading.ask(node)
        return baked if reason is None else replace(baked, lost=self._name(node, reason))

    def _settle(self, node: BuilderNode, batch: BuildRequest, number: int, baked: Baked) -> bool:
        """Confirm what a call made, and go on from there. Return whether the builder takes further part."""
        results, doubts = confirm_call(batch, self._env, baked, number)
        confirmed = {name: replace(each, builder=node.builder) for name, each in results.items()}
        with self._changed:
            attempt = judge(batch, baked, (confirmed, doubts), self._retries, call=number, calls=self._calls)
            state = replace(self._state, installs=with_installs(self._state.installs, batch, baked.trace))
            self._state = next_state(state, attempt, keep_going=self._keep_going)
            self._made |= dict.fromkeys(confirmed, node.builder)
            self._busy.pop(node.builder, None)
            if baked.stalled:
                self._error = self._error or baked.stalled
            if baked.stalled or not self._state.waiting.decisions:
                self._stopped = True  # calls for images that are cancelled are given up
            if baked.lost:
                self._lost.append(baked.lost)
            self._changed.notify_all()
        return baked.lost is None

    def _watch(self, trace: Trace) -> None:
        with self._shown:
            self._env.watch(trace)

    def _check(self, node: BuilderNode, silent: float) -> None:
        """Stop a call if the run was stopped or its builder does not answer.

        Raises KeyboardInterrupt or BuilderLostError. silent: seconds since BuildKit's last event.
        """
        if self._stopped:
            raise KeyboardInterrupt
        if silent < _SILENT_SECONDS or self._env.clock() - self._asked.get(node.builder, 0.0) < _ASK_SECONDS:
            return
        reason = self._spreading.ask(node)
        self._asked[node.builder] = self._env.clock()
        self._missed[node.builder] = self._missed[node.builder] + 1 if reason else 0
        if reason and self._missed[node.builder] >= (1 if len(self._alive) > 1 else _LAST_MISSES):
            raise BuilderLostError(self._name(node, reason))

    def _name(self, node: BuilderNode, reason: str) -> Problem:
        problem = replace(lost(node, reason), hint=_TO_OTHERS)
        with self._changed:
            self._alive.discard(node.builder)
        self._spreading.say(problem.what)
        return problem

    def _stop(self, error: BaseException) -> None:
        with self._changed:
            self._error = self._error or error
            self._stopped = True
            self._changed.notify_all()
