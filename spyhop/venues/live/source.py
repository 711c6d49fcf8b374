"""Which of its two sources a feed trusts: WebSocket first, REST while that is not good, never neither.

A pure state machine. The session tells it what happened (a stimulus) and does what it answers (instructions); it
knows no task, socket or clock. With REST preferred the same table holds with the roles changed over.

    WS    socket failed (exception)                               -> REST  EXCEPTION
    WS    socket closed                                           -> REST  DISCONNECTED
    WS    no fresh price for `stale_seconds`                      -> REST  PRICE_STALE
    WS    a closed minute `kline_stale_seconds` overdue           -> REST  KLINE_STALE
    REST  `ws_recover_good_ticks` fresh prices in a row, every
          socket open, `stale_seconds` since the change           -> a state sync is begun
    REST  that sync done, the prices still good                   -> WS    RECOVERED
    REST  REST itself without a price for `stale_seconds`, the
          prices of WebSocket good                                -> WS    RECOVERED, the sync comes after

A price is fresh when it is at most `stale_seconds` old by the venue's clock, whose offset the session has removed.
"""

from __future__ import annotations

from typing import TypeAlias

import msgspec

from spyhop.clock import NS_PER_MINUTE, NS_PER_S
from spyhop.model.tape import Mode, SwitchReason
from spyhop.venues.params import FeedParams


class Started(msgspec.Struct, frozen=True):
    """The feed begins; one that goes on after its process died was as good as disconnected."""

    ts: int
    is_resumed: bool = False


class SocketOpened(msgspec.Struct, frozen=True):
    """A connection of the plan `socket` is open."""

    ts: int
    socket: str


class SocketFailed(msgspec.Struct, frozen=True):
    """A connection could not be opened, went mute, or broke with an exception."""

    ts: int
    socket: str


class SocketClosed(msgspec.Struct, frozen=True):
    """The last connection of the plan `socket` was closed."""

    ts: int
    socket: str


class PriceTick(msgspec.Struct, frozen=True):
    """A price came by WebSocket; `ts_event` is the venue's time on our clock (its offset removed)."""

    ts: int
    ts_event: int


class Traded(msgspec.Struct, frozen=True):
    """A trade came by WebSocket: where quiet minutes have no bar, this one's minute will have one."""

    ts: int
    ts_event: int


class KlineClosed(msgspec.Struct, frozen=True):
    """WebSocket said that the minute which began at `ts_open` (venue time) is closed."""

    ts: int
    ts_open: int


class RestPrice(msgspec.Struct, frozen=True):
    """A price came by REST."""

    ts: int


class RestFailed(msgspec.Struct, frozen=True):
    """A price was asked for by REST and did not come."""

    ts: int


class SyncDone(msgspec.Struct, frozen=True):
    """The state sync is on the tape."""

    ts: int


class SyncFailed(msgspec.Struct, frozen=True):
    """The state sync did not come about."""

    ts: int


class Tick(msgspec.Struct, frozen=True):
    """Time passed; `offset_ns` is how far the venue's clock is ahead of ours."""

    ts: int
    offset_ns: int = 0


Stimulus: TypeAlias = (
    Started
    | SocketOpened
    | SocketFailed
    | SocketClosed
    | PriceTick
    | Traded
    | KlineClosed
    | RestPrice
    | RestFailed
    | SyncDone
    | SyncFailed
    | Tick
)


class SwitchTo(msgspec.Struct, frozen=True):
    """Take the data from `mode` from now on; `previous` is None at the start."""

    ts: int
    symbol: str
    previous: Mode | None
    mode: Mode
    reason: SwitchReason


class StartSync(msgspec.Struct, frozen=True):
    """Fetch the newest `num_bars` closed minutes and what trades are missing; answer SyncDone or SyncFailed."""

    ts: int
    num_bars: int


Instruction: TypeAlias = SwitchTo | StartSync


class SourceManager:
    """The source of one instrument at one venue.

    `has_silent_bars` says that the venue makes no bar of a minute without trades, so that only minutes with a trade
    can be overdue.
    """

    def __init__(self, params: FeedParams, symbol: str, *, has_silent_bars: bool = False) -> None:
        self._params, self._symbol, self._has_silent_bars = params, symbol, has_silent_bars
        self._prefers_ws = params.data_source_preferred == "ws"
        self._stale_ns = round(params.stale_seconds * NS_PER_S)
        self._kline_stale_ns = round(params.kline_stale_seconds * NS_PER_S)
        self.mode = Mode.WS if self._prefers_ws else Mode.REST
        self.down: set[str] = set()
        """The plans without an open connection after a failure."""
        self.is_syncing = False
        self.num_good = 0
        """Fresh prices in a row by WebSocket since the last change of mode."""
        self.num_switches = 0
        self.ts_price = 0
        """When the last fresh price came by WebSocket; after a start or change, when that was."""
        self.ts_rest = 0
        """The same for REST."""
        self.ts_kline = 0
        """Open of the newest minute that WebSocket closed, or of the one before the first that can be due."""
        self._num_rest_good = 0
        self._ts_switch = 0
        self._ts_retry = 0
        self._is_returning = False
        self._ts_traded = 0  # open of the first minute with a trade and no bar yet
        self._offset_ns = 0

    def on(self, stimulus: Stimulus) -> list[Instruction]:
        """Fold one stimulus; return what is to be done, in order."""
        ts = stimulus.ts
        match stimulus:
            case Started(is_resumed=is_resumed):
                return self._started(ts, is_resumed)
            case SocketOpened(socket=socket):
                self.down.discard(socket)
            case SocketFailed(socket=socket):
                return self._socket_down(ts, socket, SwitchReason.EXCEPTION)
            case SocketClosed(socket=socket):
                return self._socket_down(ts, socket, SwitchReason.DISCONNECTED)
            case PriceTick(ts_event=ts_event):
                return self._price(ts, ts_event)
            case Traded(ts_event=ts_event):
                minute = ts_event - ts_event % NS_PER_MINUTE
                if minute > self.ts_kline and self._ts_traded == 0:
                    self._ts_traded = minute
            case KlineClosed(ts_open=ts_open):
                self.ts_kline = max(self.ts_kline, ts_open)
                if self._ts_traded <= self.ts_kline:
                    self._ts_traded = 0
            case RestPrice():
                return self._rest_price(ts)
            case RestFailed():
                self._num_rest_good = 0
            case SyncDone():
                return self._sync_done(ts)
            case SyncFailed():
                return self._sync_failed(ts)
            case Tick(offset_ns=offset_ns):
                self._offset_ns = offset_ns
                return self._tick(ts)
        return []

    @property
    def kline_due(self) -> int:
        """Return the venue time at which the next closed minute is due; 0 when none is."""
        if self._has_silent_bars:
            return self._ts_traded + NS_PER_MINUTE if self._ts_traded else 0
        return self.ts_kline + 2 * NS_PER_MINUTE

    def _started(self, ts: int, is_resumed: bool) -> list[Instruction]:
        self.ts_price = self.ts_rest = self._ts_switch = ts
        self._forgive_klines(ts)
        self.is_syncing = True
        reason = SwitchReason.STARTED if self._prefers_ws else SwitchReason.PREFERRED
        if is_resumed and self._prefers_ws:
            self.mode, reason = Mode.REST, SwitchReason.DISCONNECTED
        return [
            SwitchTo(ts, self._symbol, None, self.mode, reason),
            StartSync(ts, self._params.state_sync_klines),
        ]

    # the minute under way is the next that can be due
    def _forgive_klines(self, ts: int) -> None:
        now = ts + self._offset_ns
        self.ts_kline = max(self.ts_kline, now - now % NS_PER_MINUTE - NS_PER_MINUTE)
        self._ts_traded = 0

    def _switch(self, ts: int, mode: Mode, reason: SwitchReason) -> list[Instruction]:
        previous, self.mode = self.mode, mode
        self.num_switches += 1
        self.num_good = self._num_rest_good = 0
        self._is_returning = False
        self._ts_switch = ts
        if mode is Mode.REST:
            self.ts_rest = ts
        else:
            self.ts_price = ts
            self._forgive_klines(ts)
        return [SwitchTo(ts, self._symbol, previous, mode, reason)]

    def _socket_down(self, ts: int, socket: str, reason: SwitchReason) -> list[Instruction]:
        self.down.add(socket)
        self.num_good = 0
        self._is_returning = False
        return self._switch(ts, Mode.REST, reason) if self.mode is Mode.WS else []

    def _price(self, ts: int, ts_event: int) -> list[Instruction]:
        if ts - ts_event > self._stale_ns:
            self.num_good = 0
            return []
        self.ts_price = ts
        self.num_good += 1
        may_return = (
            self._prefers_ws
            and self.mode is Mode.REST
            and not self.is_syncing
            and self._is_ws_good
            and ts - self._ts_switch >= self._stale_ns
            and ts >= self._ts_retry
        )
        if not may_return:
            return []
        self.is_syncing = self._is_returning = True
        return [StartSync(ts, self._params.state_sync_klines)]

    @property
    def _is_ws_good(self) -> bool:
        return self.num_good >= self._params.ws_recover_good_ticks and not self.down

    def _rest_price(self, ts: int) -> list[Instruction]:
        self.ts_rest = ts
        self._num_rest_good += 1
        is_good = self._num_rest_good >= self._params.ws_recover_good_ticks
        if is_good and not self._prefers_ws and self.mode is Mode.WS and ts - self._ts_switch >= self._stale_ns:
            return self._switch(ts, Mode.REST, SwitchReason.PREFERRED)
        return []

    def _sync_done(self, ts: int) -> list[Instruction]:
        self.is_syncing = False
        if self._is_returning and self._is_ws_good:
            return self._switch(ts, Mode.WS, SwitchReason.RECOVERED)
        self._is_returning = False
        return []

    def _sync_failed(self, ts: int) -> list[Instruction]:
        self.is_syncing = self._is_returning = False
        self._ts_retry = ts + round(self._params.ws_backoff_min * NS_PER_S)
        return []

    def _tick(self, ts: int) -> list[Instruction]:
        is_ws_stale = ts - self.ts_price > self._stale_ns
        is_rest_stale = ts - self.ts_rest > self._stale_ns
        if self.mode is Mode.REST:
            if is_ws_stale:
                self.num_good = 0
            elif is_rest_stale and self._is_ws_good:
                reason = SwitchReason.RECOVERED if self._prefers_ws else SwitchReason.PRICE_STALE
                self.is_syncing = True
                return [*self._switch(ts, Mode.WS, reason), StartSync(ts, self._params.state_sync_klines)]
            return []
        if is_ws_stale:
            return self._switch(ts, Mode.REST, SwitchReason.PRICE_STALE)
        due = self.kline_due
        if due and ts + self._offset_ns > due + self._kline_stale_ns:
            return self._switch(ts, Mode.REST, SwitchReason.KLINE_STALE)
        return []
