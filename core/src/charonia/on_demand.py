"""A model version that is in memory when it is needed, and as long as there is room."""

from __future__ import annotations

import logging
import threading
import time
from contextlib import ExitStack
from functools import partial
from typing import TYPE_CHECKING, Required, TypedDict, Unpack

from charonia.errors import UnavailableError, describe_cause
from charonia.instances import Lineup
from charonia.memory_budget import NobodyWaitsError
from charonia.model import Model
from charonia.residency import NoRoomError, Residence, in_words
from charonia.waiting_room import PAUSE_SECONDS, WaitingRoom

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from pathlib import Path

    from charonia.access_log import AccessLog
    from charonia.backend import ModelContext
    from charonia.config import ModelConfig
    from charonia.deadline import Deadline
    from charonia.memory_budget import MemoryBudget
    from charonia.request import InferenceRequest, InferenceResponse
    from charonia.response_lookup import ResponseLookup
    from charonia.scheduler import SchedulerContext
    from charonia.statistics import ModelStatistics
    from charonia.tracing import Tracer
    from charonia.warmup import WarmupSample

__all__ = ["OnDemandModel", "Shown"]

_log = logging.getLogger(__name__)


class Shown(TypedDict, total=False):
    """What a model shows of itself, and whom it tells of its requests; see `charonia.model.Model`."""

    statistics: Required[ModelStatistics]
    labels: Mapping[str, Sequence[bytes]]
    responses: ResponseLookup | None
    tracer: Tracer | None
    access_log: AccessLog | None


class OnDemandModel(Model):
    """One version of a model that takes memory only while it is needed and there is room: it is loaded at its first request.

    Everything that can be told of it is there all the time, and its counters go on. What executes is another model, which comes
    and goes.

    Attributes:
        residence: what the budget knows of it.

    Args:
        context: the version, whose configuration is complete.
        build: gives a running model with the configuration that it is given; first calls what it is given, too, before it takes
            memory. It may be called again and again, by one thread at a time.
        budget: whose memory it takes.
        residence: see above.
        release: called last of all, when everything is closed.
        shown: see `Shown`.
    """

    def __init__(
        self,
        context: SchedulerContext,
        build: Callable[[ModelConfig, Callable[[], None]], Model],
        budget: MemoryBudget,
        residence: Residence,
        release: Callable[[], object],
        **shown: Unpack[Shown],
    ) -> None:
        self.residence = residence
        self._build = build
        self._budget = budget
        self._files = release
        self._loading = threading.Lock()  # held by whoever loads it, changes its instances, or lets it go for good
        self._more: Residence | None = None  # the room that is kept for instances that join soon
        self._room = WaitingRoom(context, residence, lambda: self.idle, self._want)
        super().__init__(context.config, context.version, scheduler=self._room, release=self._end, **shown)
        budget.join(self)

    # -- it comes

    def bring_in(self) -> None:
        """Have it in memory when this returns, if it was not.

        Raises:
            NoRoomError: there is no room for it.
            Exception: whatever the backend raised.
        """
        self._load(self._budget.deadline(), lambda: True)

    def _want(self) -> None:
        self._budget.run(partial(self._load_for_requests, self._budget.deadline()))

    def _load_for_requests(self, deadline: Deadline) -> None:
        """Load it for the requests that wait, if any still do. On a thread of the budget's."""
        try:
            if self._room.still_wanted():
                self._load(deadline, self._room.still_wanted)
        except NobodyWaitsError:
            _log.info("%s is not loaded: nobody waits for it any more", self.residence.name)
        except NoRoomError as error:
            _log.warning("%s", error)
        except (Exception, SystemExit):  # noqa: BLE001 - the border of loading: the requests that wait have been told
            _log.exception("%s could not be brought into memory", self.residence.name)

    def _load(self, deadline: Deadline, wanted: Callable[[], bool]) -> None:
        with self._loading:
            if self._room.model is not None:
                return
            begun = time.monotonic()
            try:
                model = self._resident(partial(self._budget.reserve, self.residence, deadline, wanted))
            except NobodyWaitsError:
                raise
            except NoRoomError as error:
                self._room.fail(error, pause=False)
                raise
            except BaseException as error:
                text = f"{self.residence.name} could not be brought into memory: {describe_cause(error)}"
                self._room.fail(UnavailableError(text, retry_after_seconds=PAUSE_SECONDS), pause=True)
                raise
            self.load_seconds = time.monotonic() - begun
            if not self._room.admit(model):
                self._let_go(model)

    def _resident(self, reserve: Callable[[], None]) -> Model:
        """Load it, and once more with more room where it turns out to take more than was thought."""
        while True:
            try:
                model = self._build(self.config, reserve)
            except BaseException:
                self._budget.free(self.residence)
                raise
            model.estimated_byte_size = max(model.estimated_byte_size, self.residence.byte_size)
            self.residence.last_used_ns = time.monotonic_ns()
            self.statistics.finished = False  # what was in memory before has said that nothing more will be counted
            if self._budget.settle(self.residence, model.host_byte_size):
                _log.info("%s is in memory, and takes %s", self.residence.name, in_words(model.host_byte_size))
                return model
            model.close()
            self._budget.free(self.residence)

    # -- its instances change

    @property
    def directory(self) -> Path:
        """The model's directory on this machine."""
        return self._room.context.directory

    def prepare(self, context: ModelContext, begin: Callable[[], object] = bool) -> Lineup | None:
        """Make the instances that it lacks, if it is in memory. It neither comes nor goes until they are used or discarded."""
        with ExitStack() as held:
            held.enter_context(self._loading)
            model = held.enter_context(self._room.holding())
            self._more = None
            lineup = Lineup(context.config, (), ()) if model is None else model.prepare(context, begin)
            if lineup is not None:
                lineup.held = held.pop_all()
        return lineup

    def warm_up(self, samples: Sequence[WarmupSample], lineup: Lineup) -> None:
        """Have each of the joining instances execute the samples."""
        if self._room.model is not None:
            self._room.model.warm_up(samples, lineup)

    def make_room(self, lineup: Lineup) -> None:
        """Have others go for instances that were made, where there is no room for them.

        Raises:
            NoRoomError: all others are in use.
        """
        if lineup.byte_size:
            more = Residence(self.residence.key, self.version, lineup.byte_size)
            self._budget.reserve(more, self._budget.deadline(), lambda: True)
            lineup.held.callback(self._budget.free, more)
            self._more = more

    def use(self, lineup: Lineup) -> None:
        """Serve with these instances, now or when it comes, and with their configuration."""
        more, self._more = self._more, None
        with lineup.held:
            self.config = lineup.config
            model = self._room.model
            if model is not None:
                model.use(lineup)
                self._budget.recount(self.residence, model.host_byte_size, more)

    # -- it goes

    def move_out(self) -> Model | None:
        """Give what takes the memory, for good, unless it is in use now. None if it is, or if there is nothing."""
        return self._room.move_out()

    def _let_go(self, model: Model) -> None:
        self._budget.give_up(self.residence)
        model.close()
        self._budget.free(self.residence)

    def _end(self) -> None:
        with self._loading:
            model = self._room.take_out()
            if model is not None:
                self._let_go(model)
        self._budget.leave(self)
        self._files()

    # -- requests

    def quick(self, request: InferenceRequest) -> bool:
        """Tell whether it is in memory, and executing a request can be expected to take next to no time."""
        model = self._room.model
        return model is not None and model.quick(request)

    def submit_direct(self, request: InferenceRequest, *, covered: bool = False) -> bool:
        """Execute a request in the caller's own thread, if it is in memory, an instance is free and nobody queues."""
        executed = super().submit_direct(request, covered=covered)
        self._budget.wake()
        return executed

    def _account(self, request: InferenceRequest, response: InferenceResponse, inferences: int | None = None) -> None:
        super()._account(request, response, inferences)
        self._budget.wake()

    # -- what it tells

    @property
    def resident(self) -> bool:
        """Whether it is in memory."""
        return self._room.model is not None

    @property
    def ready(self) -> bool:
        """Whether requests can be executed now, or once it is in memory, as far as one can tell."""
        model = self._room.model
        return not self._room.failing if model is None else model.ready

    def confirm_ready(self) -> bool:
        """Ask the model itself whether it is ready, if it is in memory."""
        model = self._room.model
        return model is None or model.confirm_ready()

    @property
    def knows_byte_size(self) -> bool:
        """Whether its backend knows how much memory it takes, if it is there."""
        model = self._room.model
        return model is None or model.knows_byte_size

    @property
    def host_byte_size(self) -> int:
        """How many bytes of this machine's memory it takes; 0 while it is not there."""
        model = self._room.model
        return 0 if model is None else model.host_byte_size
