"""Faults on request: what goes wrong at a simulated venue, where, when, how often.

A fault file is TOML (`[[faults]]` tables) or JSON (a list, or an object with `faults`). Times are seconds of the
exchange's clock, counted from the moment the fault is added; what happens by chance is drawn from a seeded generator.

    kind               what happens                                        also reads
    drop               a connection is cut without a word
    stall              a connection stays open and says nothing
    silence            a stream, or a wrong route, is acknowledged and says nothing
    gap                frames are lost, so that `pu` or `message_id` does not chain
    late               frames come `delay_s` later than they should
    repeat             frames come twice
    crossed            dYdX: book updates leave levels that cross
    old_snapshot       a book by REST is older than what the stream has sent
    new_snapshot       a book by REST is ahead of its stream, which lags `delay_s`
    day_close          a connection has reached its 24 h
    throttle           429 with Retry-After `delay_s`; 418 for who goes on asking
    unknown_executed   503 "unknown", and it was executed
    unknown_lost       503 "unknown", and it was not
    server_error       `status`, and nothing was executed
    reject             error `code`, and nothing was executed
    partial_fill       an order finds only `fraction` of itself at first
    event_first        the user's stream tells `delay_s` before the reply does
    reply_first        the reply comes `delay_s` before the user's stream tells
    listen_key_expiry  listen keys expire
    clock_skew         the venue's clock is `offset_ms` ahead
    slow_consumer      a connection is treated as one that does not read
    tls_failure        at the client's side: `unreachable` gives endpoints that speak no TLS
    dns_failure        at the client's side: `unreachable` gives endpoints whose names do not resolve
"""

from __future__ import annotations

import tomllib
from collections.abc import Callable, Iterable, Sequence
from enum import StrEnum
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Annotated
from urllib.parse import urlsplit, urlunsplit

import msgspec
import numpy as np

from spyhop.clock import NS_PER_MS, NS_PER_S
from spyhop.errors import InvalidSetting, MissingInput
from spyhop.venues.endpoints import BinanceEndpoints, DydxEndpoints, Endpoints

NotNegative = Annotated[float, msgspec.Meta(ge=0)]


class FaultKind(StrEnum):
    """What goes wrong."""

    DROP = "drop"
    STALL = "stall"
    SILENCE = "silence"
    GAP = "gap"
    LATE = "late"
    REPEAT = "repeat"
    CROSSED = "crossed"
    OLD_SNAPSHOT = "old_snapshot"
    NEW_SNAPSHOT = "new_snapshot"
    DAY_CLOSE = "day_close"
    THROTTLE = "throttle"
    UNKNOWN_EXECUTED = "unknown_executed"
    UNKNOWN_LOST = "unknown_lost"
    SERVER_ERROR = "server_error"
    REJECT = "reject"
    PARTIAL_FILL = "partial_fill"
    EVENT_FIRST = "event_first"
    REPLY_FIRST = "reply_first"
    LISTEN_KEY_EXPIRY = "listen_key_expiry"
    CLOCK_SKEW = "clock_skew"
    SLOW_CONSUMER = "slow_consumer"
    TLS_FAILURE = "tls_failure"
    DNS_FAILURE = "dns_failure"


AT_CLIENT = frozenset({FaultKind.TLS_FAILURE, FaultKind.DNS_FAILURE})
"""Kinds that no server can produce; see `unreachable`."""


class Fault(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One thing that goes wrong, for `duration_s` (0 = for ever) or `count` times (0 = always), whichever ends first.

    `venue` is a label such as binance-usdm; `target` a pattern with `*` over stream names (private ones are called
    userData), paths of sockets, REST paths with or without their method, and symbols. Empty means any. `probability` is
    that of each chance to strike: a frame, a request, or for what ends a connection one turn of the pump.
    """

    kind: FaultKind
    venue: str = ""
    target: str = ""
    after_s: NotNegative = 0.0
    duration_s: NotNegative = 0.0
    count: Annotated[int, msgspec.Meta(ge=0)] = 0
    probability: Annotated[float, msgspec.Meta(gt=0, le=1)] = 1.0
    delay_s: NotNegative = 1.0
    code: int = -2010
    status: Annotated[int, msgspec.Meta(ge=500, le=599)] = 500
    fraction: Annotated[float, msgspec.Meta(gt=0, lt=1)] = 0.5
    offset_ms: float = 0.0

    @property
    def delay_ns(self) -> int:
        return int(self.delay_s * NS_PER_S)


class _Armed:
    """A fault that was added, from when to when it holds and how often it has struck."""

    def __init__(self, fault: Fault, now: int) -> None:
        self.fault = fault
        self.start = now + int(fault.after_s * NS_PER_S)
        self.end = self.start + int(fault.duration_s * NS_PER_S) if fault.duration_s else 1 << 62
        self.num_hits = 0

    def is_over(self, now: int) -> bool:
        return now >= self.end or bool(self.fault.count and self.num_hits >= self.fault.count)

    def fits(self, venue: str, names: Iterable[str]) -> bool:
        fault = self.fault
        if fault.venue not in ("", venue):
            return False
        pattern = fault.target.lower()
        return not pattern or any(fnmatchcase(name.lower(), pattern) for name in names)


class Faults:
    """The faults of one simulator. `now` tells the exchange's time; chance is drawn from `rng` alone."""

    def __init__(self, now: Callable[[], int], rng: np.random.Generator, faults: Sequence[Fault] = ()) -> None:
        self._now, self._rng = now, rng
        self._armed: list[_Armed] = []
        self.kinds: frozenset[FaultKind] = frozenset()
        """Kinds that may strike now or later; empty in the usual case, so that a frame need not be looked at."""
        for fault in faults:
            self.add(fault)

    def add(self, fault: Fault) -> None:
        """Let `fault` begin `after_s` from now; raise InvalidSetting for a kind that only a client can suffer."""
        if fault.kind in AT_CLIENT:
            raise InvalidSetting("faults", f"{fault.kind} happens at the client's side: use faults.unreachable")
        self._armed.append(_Armed(fault, self._now()))
        self._note()

    def clear(self) -> None:
        """Forget all faults, those to come too."""
        self._armed.clear()
        self._note()

    def hit(self, kind: FaultKind, venue: str, *names: str) -> Fault | None:
        """Return the fault that strikes here and now, counted, or None; `names` are what `target` may match."""
        if kind not in self.kinds:
            return None
        now = self._now()
        for armed in self._armed:
            if armed.fault.kind is not kind or now < armed.start or armed.is_over(now):
                continue
            if armed.fits(venue, names) and (
                armed.fault.probability >= 1.0 or self._rng.random() < armed.fault.probability
            ):
                armed.num_hits += 1
                if armed.is_over(now):
                    self._note()
                return armed.fault
        return None

    def holds(self, kind: FaultKind, venue: str, *names: str) -> Fault | None:
        """Return the fault that is in force here, without drawing or counting."""
        if kind not in self.kinds:
            return None
        now = self._now()
        for armed in self._armed:
            if armed.fault.kind is kind and armed.start <= now and not armed.is_over(now) and armed.fits(venue, names):
                return armed.fault
        return None

    def skew_ns(self, venue: str) -> int:
        """Return how far ahead the venue's clock is, nanoseconds."""
        fault = self.holds(FaultKind.CLOCK_SKEW, venue)
        return int(fault.offset_ms * NS_PER_MS) if fault else 0

    def state(self) -> list[dict[str, object]]:
        """Return every fault that was added, how often it has struck and whether it is over."""
        now = self._now()
        return [
            {
                "fault": msgspec.to_builtins(armed.fault),
                "num_hits": armed.num_hits,
                "is_begun": now >= armed.start,
                "is_over": armed.is_over(now),
            }
            for armed in self._armed
        ]

    def _note(self) -> None:
        now = self._now()
        self.kinds = frozenset(armed.fault.kind for armed in self._armed if not armed.is_over(now))


def load(path: Path) -> tuple[Fault, ...]:
    """Return the faults of a file; raise MissingInput or InvalidSetting."""
    try:
        text = path.read_text(encoding="utf-8")
    except OSError as error:
        raise MissingInput(f"the fault file {path} cannot be read: {error.strerror}") from error
    return parse(text, is_toml=path.suffix == ".toml")


def parse(text: str | bytes, *, is_toml: bool = False) -> tuple[Fault, ...]:
    """Return the faults that `text` lists (one object, a list, or an object with `faults`); raise InvalidSetting."""
    try:
        raw = tomllib.loads(text if isinstance(text, str) else text.decode()) if is_toml else msgspec.json.decode(text)
        if isinstance(raw, dict) and "faults" in raw:
            raw = raw["faults"]
        faults = msgspec.convert(raw if isinstance(raw, list) else [raw], tuple[Fault, ...])
    except (tomllib.TOMLDecodeError, msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise InvalidSetting("faults", str(error)) from error
    return faults


def unreachable(endpoints: Endpoints, kind: FaultKind) -> Endpoints:
    """Return endpoints that a client cannot reach: encrypted URLs of plain ports, or names that do not resolve."""

    def spoilt(url: str) -> str:
        if not url:
            return url
        parts = urlsplit(url)
        if kind is FaultKind.DNS_FAILURE:
            host = f"venue.invalid:{parts.port}" if parts.port else "venue.invalid"
            return urlunsplit(parts._replace(netloc=host))
        scheme = {"http": "https", "ws": "wss"}.get(parts.scheme, parts.scheme)
        return urlunsplit(parts._replace(scheme=scheme))

    if kind not in AT_CLIENT:
        raise ValueError(f"{kind} is the server's to make")
    return msgspec.structs.replace(
        endpoints,
        binance_usdm=BinanceEndpoints(*map(spoilt, msgspec.structs.astuple(endpoints.binance_usdm))),
        binance_spot=BinanceEndpoints(*map(spoilt, msgspec.structs.astuple(endpoints.binance_spot))),
        dydx=DydxEndpoints(*map(spoilt, msgspec.structs.astuple(endpoints.dydx))),
    )
