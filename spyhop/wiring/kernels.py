"""Compiles every kernel that a session needs, once, so that no actor has to and none compiles beside another."""

from __future__ import annotations

import hashlib
from pathlib import Path

import msgspec

import spyhop
from spyhop.clock import NS_PER_S
from spyhop.config.settings import SessionConfig, Settings, encoded
from spyhop.model import rows
from spyhop.model.control import Session
from spyhop.model.tape import Venue
from spyhop.numerics._jit import cache_root, digest_of
from spyhop.simulation.feed import usual_instrument
from spyhop.strategies.filter import SignalFilterParams
from spyhop.strategies.lag_meter import LagMeter
from spyhop.strategies.stage import DecisionParams
from spyhop.venues.binance.live import FrameDecoder
from spyhop.venues.live.dedup import Dedup
from spyhop.venues.live.queue import EventQueue
from spyhop.venues.net.transport import Frame
from spyhop.venuesim.options import generated
from spyhop.wiring import nodes
from spyhop.wiring.plan import GeneratedSource, SessionPlan
from spyhop.wiring.unkept import MemoryRecords, NoTapes

_SOURCES = Path(spyhop.__file__).parent
_START_NS = 1_764_288_000_000_000_000
_TRADE = (
    b'{"e":"aggTrade","E":1764288000000,"a":1,"s":"BTCUSDT","p":"60000.0","q":"0.001","f":1,"l":1,'
    b'"T":1764288000000,"m":true}'
)


def are_prepared() -> bool:
    """Say whether the kernels of this source tree are on disk already."""
    return _mark().exists()


def prepare() -> None:
    """Compile the kernels of a session (about a minute) unless they are on disk already."""
    if are_prepared():
        return
    nodes.pipeline(_rehearsal(), NoTapes(), MemoryRecords()).run()
    _rehearse_wire()
    _rehearse_pair()
    mark = _mark()
    mark.parent.mkdir(parents=True, exist_ok=True)
    mark.touch()


def _mark() -> Path:
    # numba asks where a kernel's source lies and when it was written, too: another copy of the same tree compiles anew
    digest = hashlib.sha256()
    for source in sorted(_SOURCES.rglob("*.py")):
        if b"@kernel" in source.read_bytes():
            module = ".".join(("spyhop", *source.relative_to(_SOURCES).with_suffix("").parts))
            digest.update(f"{source} {source.stat().st_mtime_ns} {digest_of(module)}\n".encode())
    return cache_root() / f"prepared-{digest.hexdigest()[:16]}"


def _rehearse_wire() -> None:
    """Meet the kernels of a venue's client and of the simulator: no socket waits for a compiler."""
    decoder = FrameDecoder(msgspec.structs.replace(usual_instrument("BTCUSDT"), venue=Venue.BINANCE_USDM))
    read = decoder.read([Frame(_START_NS, _TRADE)])
    queue = EventQueue(1_000, venue=Venue.BINANCE_USDM, instrument=0)
    queue.put(Dedup().admit(read.events))
    exchange = generated(("BTCUSDT",), 1, _START_NS, 60.0)
    exchange.advance(_START_NS + NS_PER_S)


def _rehearse_pair() -> None:
    """Meet the kernel that holds a follower against its leader: the market of the rehearsal has none."""
    LagMeter({1: 0}).note(rows.empty(1)[0])


def _rehearsal() -> SessionPlan:
    """Return two minutes of generated events that trade at the least sign, so that order kernels are met too."""
    settings = Settings(
        session=SessionConfig(symbols=("BTCUSDT",), hours=0.035),
        decision=DecisionParams(filter=SignalFilterParams(min_probability=0.0, min_confidence=0.0)),
    )
    session = Session(
        id="rehearsal",
        started=_START_NS,
        mode="paper",
        source="rehearsal",
        is_simulated=True,
        instruments=(usual_instrument("BTCUSDT"),),
        settings=encoded(settings),
        version=spyhop.__version__,
        runner="local",
    )
    return SessionPlan(session=session, folder=Path(), settings=settings, source=GeneratedSource(1, _START_NS))
