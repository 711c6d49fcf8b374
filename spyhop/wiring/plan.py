"""From what was asked for to a plan: which instruments, from where, under which settings. The mode is known here."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from pathlib import Path

import msgspec

import spyhop
from spyhop.clock import NS_PER_DAY, NS_PER_HOUR, NS_PER_S, Clock
from spyhop.config.settings import Settings, decoded, encoded
from spyhop.engine.streams import END_OF_TIME
from spyhop.errors import UserError
from spyhop.execution.couples import check_hedge
from spyhop.identity import session_id
from spyhop.model.control import Session
from spyhop.model.instruments import Instrument
from spyhop.model.tape import Venue
from spyhop.simulation.feed import usual_instrument
from spyhop.storage import journal
from spyhop.storage.files import replace_durably
from spyhop.storage.lake import Lake
from spyhop.strategies.observing import leaders
from spyhop.venues.endpoints import Endpoints
from spyhop.venues.net.limits import Limit
from spyhop.wiring.venues import listed

VENUE_PREFERENCE = (Venue.BINANCE_USDM, Venue.BINANCE_SPOT, Venue.BINANCE_COINM, Venue.DYDX, Venue.DYDX_V3)
"""Which venue a bare symbol means when a lake holds it more than once."""


class LakeSource(msgspec.Struct, frozen=True, tag="lake"):
    """A recorded lake, from its first event in [start, end) on."""

    root: str
    start: int
    end: int


class GeneratedSource(msgspec.Struct, frozen=True, tag="generated"):
    """The generative market; nothing of it ever happened."""

    seed: int
    start: int


class JournalSource(msgspec.Struct, frozen=True, tag="journal"):
    """The tapes of a session that ran before."""

    folder: str


class LiveSource(msgspec.Struct, frozen=True, tag="live"):
    """Venues that speak now, real ones or a simulator, over sockets."""

    endpoints: Endpoints
    limits: dict[str, tuple[Limit, ...]] = {}
    """How much may be asked of each venue, by its label, as the venue told when it listed its instruments."""


ENDPOINTS_FILE = "endpoints.json"
"""In the folder of a live session: where its venues are."""

Source = LakeSource | GeneratedSource | JournalSource | LiveSource


class RunRequest(msgspec.Struct, frozen=True, kw_only=True):
    """What a command asks for beyond settings: where events come from, and the mode."""

    mode: str = "paper"
    lake: str | None = None  # a folder or URI
    start: int = 0  # of a lake what is received from here on
    end: int = END_OF_TIME  # and before this
    endpoints: Endpoints | None = None  # venues that speak now; without them and a lake, the generative market
    runner: str = "local"


class SessionPlan(msgspec.Struct, frozen=True, kw_only=True):
    """Everything that building a session's nodes needs; small, and the same in every process."""

    session: Session
    folder: Path
    settings: Settings
    source: Source

    @property
    def is_live(self) -> bool:
        """Say whether orders go to venues."""
        return self.session.mode == "live"

    @property
    def feed_names(self) -> tuple[str, ...]:
        """Return the names of the feeds, in the order of their instruments' numbers."""
        return tuple(names(self.session.instruments))

    def instrument(self, feed: str) -> Instrument:
        """Return the instrument of a feed."""
        return self.session.instruments[self.feed_names.index(feed)]


def names(instruments: tuple[Instrument, ...]) -> list[str]:
    """Return one name an instrument: its symbol, with the venue where two share one."""
    symbols = [instrument.symbol for instrument in instruments]
    return [
        instrument.symbol if symbols.count(instrument.symbol) == 1 else instrument.key for instrument in instruments
    ]


def plan_session(settings: Settings, request: RunRequest, clock: Clock) -> SessionPlan:
    """Plan a session and write its head; raise a UserError for what cannot be.

    A lake is read from the first event of any of its symbols on; venues are asked what they list; without either the
    generative market is used. Raises VenueError when a venue cannot be asked.
    """
    if request.mode == "live" and request.endpoints is None:
        raise UserError("--live trades where events come from: it needs --venues, not a recording")
    now = clock.now_ns()
    wanted = settings.session
    source: Source
    if request.lake is not None:
        instruments, source = from_lake(request.lake, wanted.symbols, request.start, request.end)
        what = f"lake {request.lake}"
    elif request.endpoints is not None:
        listing = asyncio.run(listed(request.endpoints, wanted.symbols))
        instruments, source = listing.instruments, LiveSource(request.endpoints, listing.limits)
        what = "venue simulator" if request.endpoints.is_simulated else "live venues"
    else:
        if named := [symbol for symbol in wanted.symbols if ":" in symbol]:
            raise UserError(f"{named[0]} names a venue, which the generative market is not; say the symbol alone")
        instruments = tuple(usual_instrument(symbol) for symbol in wanted.symbols)
        source = GeneratedSource(wanted.seed, now // NS_PER_DAY * NS_PER_DAY)
        what = f"generative market, seed {wanted.seed}"
    numbered = tuple(instrument.numbered(number) for number, instrument in enumerate(instruments))
    if settings.lead.hedge:
        for follower, leader in leaders(numbered).items():
            check_hedge(numbered[follower], numbered[leader])
    session = Session(
        id=session_id(now),
        started=now,
        mode=request.mode,
        source=what,
        is_simulated=is_simulated(source) or any(instrument.is_simulated for instrument in instruments),
        instruments=numbered,
        settings=encoded(settings),
        version=spyhop.__version__,
        runner=request.runner,
    )
    folder = Path(wanted.runs) / session.id
    journal.write_session(folder, session)
    if request.mode == "live":
        # where its money is, so that it can be found again when nothing of ours is alive
        replace_durably(folder / ENDPOINTS_FILE, msgspec.json.encode(request.endpoints))
    return SessionPlan(session=session, folder=folder, settings=settings, source=source)


def plan_replay(folder: Path) -> SessionPlan:
    """Plan to run a journal's tapes again, under the settings it was made with."""
    session = journal.read_session(folder)
    return SessionPlan(
        session=session, folder=folder, settings=decoded(session.settings), source=JournalSource(str(folder))
    )


def is_simulated(source: Source) -> bool:
    """Say whether nothing of a source ever happened at a venue."""
    return isinstance(source, GeneratedSource) or (isinstance(source, LiveSource) and source.endpoints.is_simulated)


def from_lake(
    root: str, symbols: Sequence[str], start: int = 0, end: int = END_OF_TIME
) -> tuple[tuple[Instrument, ...], LakeSource]:
    """Return what `symbols` mean in a lake, and its span from their first event on, inside [start, end).

    Raises MissingInput when it lacks one of them.
    """
    lake = Lake(root)
    instruments = tuple(lake.instrument(_preferred(symbol, lake)) for symbol in symbols)
    starts = [lake.span(instrument.key)[0] for instrument in instruments]
    return instruments, LakeSource(lake.root, max(start, min(starts)), end)


def _preferred(symbol: str, lake: Lake) -> str:
    keys = {instrument.key for instrument in lake.instruments()}
    candidates = (f"{venue.label}:{symbol}" for venue in VENUE_PREFERENCE)
    return next((key for key in candidates if key in keys), symbol)


def span_ns(plan: SessionPlan) -> int:
    """Return how much event time a session may take, 0 for all that there is."""
    if isinstance(plan.source, JournalSource) or plan.session.mode == "backtest":
        return 0
    return round(plan.settings.session.hours * NS_PER_HOUR)


class Pacing(msgspec.Struct, frozen=True):
    """Event time against wall time: `speed` event seconds in one second, 0 = as fast as it goes."""

    speed: float
    start_event: int
    start_wall: int

    def wait_s(self, ts: int, now: int) -> float:
        """Return how many seconds remain until event time `ts` is due; negative when it is late, 0 unpaced."""
        if not self.speed or not self.start_event:
            return 0.0
        due = self.start_wall + (ts - self.start_event) / self.speed
        return (due - now) / NS_PER_S
