"""The seams of the system: one to three methods each. A fake is an ordinary class that has them."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any, Protocol, runtime_checkable

import numpy.typing as npt

from spyhop.model.accounts import KeyRights, VenueBalance, VenueFill, VenueOrder, VenuePosition
from spyhop.model.entries import Entry
from spyhop.model.orders import CancelOrder, Command, OrderType, Report, SubmitOrder
from spyhop.model.rows import Rows
from spyhop.model.tape import Events


class Feed(Protocol):
    """Where events come from."""

    def next_batch(self) -> Events | None:
        """Return the next events in order (ts_recv, position), an empty batch to be asked again, None at the end."""
        ...

    def snapshot(self) -> bytes:
        """Return the place in the source; `restore` continues with the very next event."""
        ...

    def restore(self, snapshot: bytes) -> None: ...


@runtime_checkable
class OpenFeed(Protocol):
    """What a feed has besides when it holds connections: its events come when they come."""

    on_arrival: Callable[[], None] | None
    """Called from another thread when there is something to take after there was nothing."""

    def statistics(self) -> dict[str, float]:
        """Return counters and gauges by name; cheap, never blocks."""
        ...

    def close(self) -> None:
        """Let every connection go; what arrived and was not taken is dropped."""
        ...


class Gateway(Protocol):
    """Where orders go. Simulated or real, the order stage cannot tell."""

    def send(self, command: Command) -> None:
        """Hand a command over; what becomes of it comes back as reports."""
        ...

    def advance(self, events: Events, start: int, until: int) -> tuple[int, list[Report]]:
        """Fold events[start:] with ts_recv < until; stop right after the first event that caused reports.

        Return the index of the first event not folded and the reports, in order.
        """
        ...


class Trader(Protocol):
    """One account at one venue: what can be asked of it about orders.

    Every method may raise a VenueError: VenueRefused when the venue said no, Throttled and VenueUnavailable when
    nothing was executed, OutcomeUnknown when nobody can say. None of them retries by itself.
    """

    @property
    def name(self) -> str:
        """Return `venue:account`, such as `binance-usdm:main`."""
        ...

    @property
    def kinds(self) -> frozenset[OrderType]:
        """Return what the venue has; everything else is emulated by us."""
        ...

    async def submit(self, order: SubmitOrder) -> VenueOrder:
        """Place an order under its client order id and return it as the venue has it."""
        ...

    async def cancel(self, order: CancelOrder) -> None:
        """Take an order back; return when the venue has accepted that. Raise VenueRefused for one it does not know."""
        ...

    async def order(self, client_order_id: str, instrument: int) -> VenueOrder | None:
        """Return an order of ours, alive or ended; None when the venue is certain that it never had it."""
        ...

    async def open_orders(self) -> list[VenueOrder]:
        """Return every open order of the account, ours and others', conditional ones too."""
        ...

    async def fills(self, instrument: int, since: int) -> list[VenueFill]:
        """Return the account's executions from `since` (nanoseconds UTC) on, oldest first."""
        ...

    async def positions(self) -> list[VenuePosition]:
        """Return what is held, instruments of ours only, none that is flat."""
        ...

    async def balances(self) -> list[VenueBalance]:
        """Return the account's money."""
        ...

    async def rights(self) -> KeyRights:
        """Return what the venue says of the key."""
        ...

    async def set_leverage(self, instrument: int, leverage: float) -> None:
        """Have new positions held at an isolated `leverage`; nothing where the venue has no such setting."""
        ...

    async def cancel_all(self, instrument: int) -> None:
        """Take every open order of an instrument back, whoever sent it."""
        ...

    async def hold_switch(self, instrument: int, seconds: float) -> bool:
        """Have the venue cancel everything unless it is asked again within `seconds`; 0 lets go, False: no switch."""
        ...

    async def close(self) -> None:
        """Let connections go."""
        ...


class Stage(Protocol):
    """State that can be rebuilt from its snapshot alone."""

    def snapshot(self) -> bytes: ...

    def restore(self, snapshot: bytes) -> None:
        """Take the state of `snapshot`; raise SnapshotMismatch if it is of another layout."""
        ...

    def statistics(self) -> dict[str, float]:
        """Return counters and gauges by name; cheap, never blocks."""
        ...


class TapeKeeper(Protocol):
    """Keeps what was consumed, in the order it was consumed."""

    def append(self, feed: str, events: Events) -> None:
        """Take events of a feed; durable after the next `flush`."""
        ...

    def flush(self) -> None: ...


class RecordKeeper(Protocol):
    """Keeps what was said. Entries have keys and rows have times, so a repeat changes nothing."""

    def rows(self, rows: Rows, probabilities: npt.NDArray[Any]) -> None:
        """Take judged rows, with 23 probabilities each."""
        ...

    def append(self, entries: Sequence[Entry]) -> None:
        """Keep entries; they are durable when this returns."""
        ...

    def committed(self, stage: str) -> int:
        """Return how many entries of `stage` are kept."""
        ...

    def close(self) -> None:
        """Write what is written once at the end of a session."""
        ...


class Ledger(RecordKeeper, Protocol):
    """A keeper that can be asked for what it keeps."""

    def entries(self, stage: str, first: int, limit: int) -> list[Entry]:
        """Return up to `limit` entries of a stage in the order of their numbers, from number `first` on."""
        ...

    def tidy(self) -> None:
        """Do what no commit should wait for; another thread may commit meanwhile."""
        ...


class Catalog(Protocol):
    """A store of tapes."""

    def scan(self, instrument_key: str, start: int, end: int) -> Iterator[Events]:
        """Yield the tape of one instrument in order, with start <= ts_recv < end."""
        ...


class Quarantine(Protocol):
    """Where unreadable input is set aside: counted, with file, line and reason."""

    def put(self, file: str, line: int, reason: str, raw: bytes) -> None: ...
