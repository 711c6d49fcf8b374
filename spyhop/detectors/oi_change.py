"""D5 OIChange: positions opened and closed, in base units, against their usual change.

A poll is compared with the newest poll that is at least 1, 5 and 60 minutes older. Each window has its own running
mean and deviation; the score is the mean of the z scores that are ready.
"""

from __future__ import annotations

from math import exp, log, sqrt, tanh
from typing import Annotated, Any

import msgspec
import numpy as np

from spyhop.detectors.published import price_of, publish
from spyhop.numerics._jit import kernel

WINDOWS_MIN: tuple[int, ...] = (1, 5, 60)
_HEADLINE = 1  # five minutes
_NUM_WINDOWS = len(WINDOWS_MIN)
_KEPT = 1024
_SPACING_NS = 8_000_000_000  # polls nearer than this replace each other: 1024 cover an hour
_MINUTE_NS = 60_000_000_000

_POLL = np.dtype([("ts", "i8"), ("contracts", "f8"), ("volume", "f8"), ("price", "f8")])
_WINDOW = np.dtype([("mean", "f8"), ("var", "f8"), ("ts", "i8"), ("num", "i8"), ("z", "f8"), ("change", "f8")])

STATE = np.dtype(
    [
        ("ts", "i8"),
        ("contracts", "f8"),
        ("polls", _POLL, (_KEPT,)),
        ("num_polls", "i8"),
        ("windows", _WINDOW, (_NUM_WINDOWS,)),
        ("z", "f8"),
        ("num_z", "i8"),
        ("opening_ratio", "f8"),
        ("quadrant", "i8"),
        ("num_violations", "i8"),  # |dOI| above the volume traded meanwhile
        ("num_jumps", "i8"),  # polls refused as impossible
    ]
)
PARAMS = np.dtype(
    [
        ("tau_ns", "f8"),
        ("min_changes", "i8"),
        ("warm_changes", "f8"),
        ("max_jump", "f8"),
        ("violation_slack", "f8"),
        ("scale_floor", "f8"),
        ("age_tau_ms", "f8"),
    ]
)

_Positive = Annotated[float, msgspec.Meta(gt=0)]


class OIChangeParams(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`violation_slack_frac` allows for trades and open interest being stamped apart."""

    tau_s: _Positive = 86_400.0
    min_changes: Annotated[int, msgspec.Meta(ge=2)] = 10
    warm_changes: _Positive = 60.0
    max_jump_frac: _Positive = 0.20
    violation_slack_frac: Annotated[float, msgspec.Meta(ge=0)] = 0.05
    scale_floor_bps: _Positive = 0.1
    age_tau_s: _Positive = 600.0


def params_record(params: OIChangeParams) -> tuple[float, ...]:
    """Return the numbers of PARAMS in the order of its fields."""
    return (
        params.tau_s * 1e9,
        params.min_changes,
        params.warm_changes,
        params.max_jump_frac,
        params.violation_slack_frac,
        params.scale_floor_bps * 1e-4,
        params.age_tau_s * 1e3,
    )


@kernel
def reset(s: Any, p: Any) -> None:
    """Leave a zero-filled state as it is: zeros are a fresh start."""


@kernel
def on_open_interest(s: Any, p: Any, ts: int, contracts: float, m: Any) -> None:
    """Fold a poll of open interest in base units; `m.cum_volume` and the mid must be those of `ts`.

    A poll of the same time as the last is stale and changes nothing. One that jumps by more than `max_jump_frac`
    while less volume was traded is impossible: counted and refused, and the next one starts a new past.
    """
    if contracts <= 0.0 or ts <= s.ts:
        return
    volume = m.cum_volume
    price = price_of(m)
    if s.num_polls > 0:
        last = s.polls[(s.num_polls - 1) % _KEPT]
        jumped = abs(contracts - s.contracts)
        if jumped > p.max_jump * s.contracts and jumped > volume - last.volume:
            s.num_jumps += 1
            s.num_polls = 0
            s.contracts = contracts
            s.ts = ts
            _silence(s)
            return
        _judge(s, p, ts, contracts, volume, price)
    _keep(s, ts, contracts, volume, price)


@kernel
def _silence(s: Any) -> None:
    s.z = 0.0
    s.num_z = 0
    s.opening_ratio = 0.0
    s.quadrant = 0
    for k in range(_NUM_WINDOWS):
        s.windows[k].change = 0.0


@kernel
def _keep(s: Any, ts: int, contracts: float, volume: float, price: float) -> None:
    s.ts = ts
    s.contracts = contracts
    if s.num_polls > 1 and ts - s.polls[(s.num_polls - 2) % _KEPT].ts < _SPACING_NS:
        s.num_polls -= 1
    poll = s.polls[s.num_polls % _KEPT]
    poll.ts = ts
    poll.contracts = contracts
    poll.volume = volume
    poll.price = price
    s.num_polls += 1


@kernel
def _newest_before(s: Any, ts: int) -> int:
    # number of the newest kept poll at or before ts, -1 if none
    low = max(s.num_polls - _KEPT, 0)
    high = s.num_polls - 1
    if s.polls[low % _KEPT].ts > ts:
        return -1
    while low < high:
        middle = (low + high + 1) // 2
        if s.polls[middle % _KEPT].ts <= ts:
            low = middle
        else:
            high = middle - 1
    return int(low)


@kernel
def _judge(s: Any, p: Any, ts: int, contracts: float, volume: float, price: float) -> None:
    _silence(s)
    total = 0.0
    for k in range(_NUM_WINDOWS):
        span = WINDOWS_MIN[k] * _MINUTE_NS
        found = _newest_before(s, ts - span)
        if found < 0 or ts - s.polls[found % _KEPT].ts > 2 * span:
            continue  # the polls are further apart than this window
        poll = s.polls[found % _KEPT]
        change = contracts - poll.contracts
        traded = volume - poll.volume
        if volume > 0.0 and abs(change) > traded * (1.0 + p.violation_slack):
            s.num_violations += 1
            continue
        window = s.windows[k]
        window.change = log(contracts / poll.contracts)
        _score(window, p, ts)
        if window.num > p.min_changes:
            total += window.z
            s.num_z += 1
        if k == _HEADLINE:
            s.opening_ratio = min(max(change / traded, -1.0), 1.0) if traded > 0.0 else 0.0
            s.quadrant = _quadrant(change, price, poll.price)
    if s.num_z > 0:
        s.z = total / s.num_z


@kernel
def _score(window: Any, p: Any, ts: int) -> None:
    # z before the update; the first changes weigh alike, later ones fade with tau
    d = window.change - window.mean
    window.z = d / max(sqrt(window.var), p.scale_floor)
    window.num += 1
    share = max(1.0 - exp(-(ts - window.ts) / p.tau_ns), 1.0 / window.num) if window.ts > 0 else 1.0
    window.mean += share * d
    window.var = (1.0 - share) * (window.var + share * d * d)
    window.ts = ts


@kernel
def _quadrant(change: float, price: float, price_before: float) -> int:
    if change == 0.0 or price == price_before or price <= 0.0 or price_before <= 0.0:
        return 0
    if price > price_before:
        return 1 if change > 0.0 else 3
    return 2 if change > 0.0 else 4


@kernel
def read(s: Any, p: Any, ts: int, m: Any, detection: Any, evidence: Any) -> None:
    """Fill the detection (tanh(z / 2), positive: positions are opened) and the open interest evidence.

    Ready when a window has seen `min_changes` changes before. The quadrant is that of five minutes: 1 long build-up,
    2 short build-up, 3 short covering, 4 long unwinding, 0 none.
    """
    changes = 0
    for k in range(_NUM_WINDOWS):
        changes = max(changes, s.windows[k].num)
    age = ts - s.ts if s.ts > 0 else 0
    publish(detection, tanh(0.5 * s.z), s.num_z > 0, changes, p.warm_changes, age, p.age_tau_ms)
    evidence.oi_change_frac = s.windows[_HEADLINE].change
    evidence.oi_z = s.z
    evidence.oi_opening_ratio = s.opening_ratio
    evidence.oi_quadrant = s.quadrant
