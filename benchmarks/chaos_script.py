"""What happens in a run of the chaos of orders, drawn from its seed: wishes, kills, faults, settings."""

from __future__ import annotations

from typing import Any

import msgspec
import numpy as np

from spyhop.config.settings import SessionConfig, Settings
from spyhop.execution.stage import ExecutionParams
from spyhop.venues.desk.desk import DeskParams
from spyhop.venues.desk.reconciling import ReconcileParams
from spyhop.venues.desk.requests import RequestParams

WINDOW_S = 6.0
"""How old, market seconds, a request may be when the venue gets it."""
SYMBOLS = ("BTCUSDT", "ETHUSDT", "SOLUSDT")
STORM_S, QUIET_S = 36.0, 36.0
"""Market seconds with kills and faults, and then without, before the session ends."""
MAX_LOTS = {"BTCUSDT": 40, "ETHUSDT": 900, "SOLUSDT": 150}

EXECUTOR_POINTS = (
    "take",  # commands came, the desk has not kept them
    "taken",  # they are kept, none has left
    "submit",  # the note that it leaves is kept, the request has not left
    "submitting",  # between send and reply
    "submitted",  # the reply is there, nothing is noted
    "fill",  # the stream told a fill, it is not kept
    "told",  # reports are kept, the stage has not heard
    "cancel",
    "cancelling",
    "cancelled",
    "record",  # records are on their way to the ledger
    "recorded",  # they are kept, the answer was not heard
    "checkpoint",
    "checkpointed",
    "order",  # a question about an order is under way
)
LEDGER_POINTS = ("keep", "database", "kept")
RANDOM, LATE = "random", "late"


class Kill(msgspec.Struct, frozen=True):
    """SIGKILL at the `nth` passing of `point`, or `after_s` seconds of the machine after the start of the life.

    For points inside a request `after_s` is how long after it left.
    """

    point: str
    nth: int = 1
    after_s: float = 0.0


class Trouble(msgspec.Struct, frozen=True):
    """Faults of the venue that begin together, market seconds after the session's start; `name` is for the table."""

    name: str
    at_s: float
    faults: list[dict[str, Any]]


class Wish(msgspec.Struct, frozen=True):
    """An entry to be approved, market seconds after the start; stop and profit are fractions of the price.

    `side` 0 is no entry: the supervisor goes into ESCAPE then.
    """

    at_s: float
    instrument: int
    side: int
    lots: int
    stop: float
    profit: float
    hold_s: float


class Script(msgspec.Struct, frozen=True):
    """One run."""

    seed: int
    wishes: list[Wish]
    kills: list[Kill]
    ledger_kills: list[Kill]
    troubles: list[Trouble]
    execution: ExecutionParams


def script(seed: int) -> Script:
    """Return the run of `seed`."""
    rng = np.random.default_rng([20_251_128, seed])
    return Script(
        seed,
        _wishes(rng),
        [_kill(rng, EXECUTOR_POINTS) for _ in range(rng.integers(1, 4))],
        [_kill(rng, LEDGER_POINTS) for _ in range(rng.integers(0, 2))],
        sorted((_trouble(rng) for _ in range(rng.integers(2, 6))), key=lambda trouble: trouble.at_s),
        _execution(rng),
    )


def settings(drawn: Script, runs: str) -> Settings:
    """Return the settings of a run whose sessions are kept in `runs`."""
    # a market second is a twelfth of the machine's here, so patience has to be longer than it is at a real venue
    asking = RequestParams(
        request_s=12.0, ask_min_s=0.5, ask_max_s=4.0, validity_s=1.2 * WINDOW_S, max_age_s=8.0, give_up_s=20.0
    )
    comparing = ReconcileParams(every_s=6.0, unclean_s=1.5)
    return Settings(
        session=SessionConfig(symbols=SYMBOLS, seed=drawn.seed, runs=runs),
        execution=drawn.execution,
        desk=DeskParams(requests=asking, reconcile=comparing),
    )


def _wishes(rng: np.random.Generator) -> list[Wish]:
    found, at = [], float(rng.uniform(2.0, 4.0))
    while at < STORM_S - 1.0:
        number = int(rng.integers(len(SYMBOLS)))
        side = 0 if rng.random() < 0.04 else int(rng.choice([-1, 1]))
        lots = int(rng.integers(MAX_LOTS[SYMBOLS[number]] // 4, MAX_LOTS[SYMBOLS[number]] + 1))
        stop, profit = rng.uniform(0.0006, 0.004, 2)
        # some are held through the quiet time, so that it is seen whether they are protected
        hold_s = float(rng.uniform(1.5, 8.0) if rng.random() < 0.7 else 40.0)
        found.append(Wish(round(at, 3), number, side, lots, float(stop), float(profit), hold_s))
        at += float(rng.uniform(0.2, 1.0))
    return found


def _kill(rng: np.random.Generator, points: tuple[str, ...]) -> Kill:
    if rng.random() < 0.25:
        return Kill(RANDOM, after_s=float(rng.uniform(0.05, 1.2)))
    point = str(rng.choice(points))
    return Kill(point, int(rng.integers(1, 4)), float(rng.uniform(0.0, 0.02)))


def _execution(rng: np.random.Generator) -> ExecutionParams:
    return ExecutionParams(
        entry_type=str(rng.choice(["market", "market", "limit", "ioc"])),  # type: ignore[arg-type]
        entry_wait_ms=float(rng.uniform(800.0, 3_000.0)),
        stop_type="limit" if rng.random() < 0.2 else "market",
        take_profit_type="limit" if rng.random() < 0.2 else "market",
    )


_STREAM, _ORDERS = "userdata", "*order"


def _trouble(rng: np.random.Generator) -> Trouble:
    name = str(rng.choice(list(_TROUBLES)))
    at = float(rng.uniform(1.0, STORM_S - 2.0))
    lasting, chance = float(rng.uniform(1.0, 8.0)), float(rng.uniform(0.3, 1.0))
    delay = float(rng.uniform(0.2, 4.0))
    usual = {"duration_s": lasting, "probability": chance, "delay_s": delay}
    return Trouble(name, at, [{**usual, **fault} for fault in _TROUBLES[name]])


_TROUBLES: dict[str, list[dict[str, Any]]] = {
    "answers late": [{"kind": "event_first", "target": _ORDERS}],
    "answers too late": [{"kind": "event_first", "target": _ORDERS, "delay_s": 15.0, "count": 3}],
    "answers before it tells": [{"kind": "reply_first", "target": _ORDERS}],
    "tells late": [{"kind": "late", "target": _STREAM}],
    "tells twice": [{"kind": "repeat", "target": _STREAM}],
    "tells nothing": [{"kind": "gap", "target": _STREAM}],
    "stands still": [{"kind": "stall", "target": _STREAM}],
    "drops the stream": [{"kind": "drop", "target": "/private*", "probability": 1.0, "count": 1}],
    "listen key expires": [{"kind": "listen_key_expiry", "count": 1}],
    "503 but executed": [{"kind": "unknown_executed", "target": _ORDERS}],
    "503 and not executed": [{"kind": "unknown_lost", "target": _ORDERS}],
    "503 unavailable": [{"kind": "server_error", "target": _ORDERS, "status": 503}],
    "throttles": [{"kind": "throttle", "count": 1}],
    "rejects": [{"kind": "reject", "target": "post /fapi/v1/*order", "count": 2}],
    "fills in part": [{"kind": "partial_fill"}],
    "restarts": [
        {"kind": "drop", "probability": 1.0, "duration_s": 2.0},
        {"kind": "server_error", "probability": 1.0, "duration_s": 2.0, "status": 503},
    ],
}
KINDS = tuple(_TROUBLES)
