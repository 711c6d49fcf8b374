"""What the risk stage says. We refuse; the venue rejects."""

from __future__ import annotations

from enum import StrEnum

import msgspec

from spyhop.model.decisions import Intent


class RiskState(StrEnum):
    """What the supervisor permits; the table is `spyhop.risk.states.NEXT`."""

    CAN_TRADE = "can_trade"
    SUSPECT = "suspect"  # smaller entries
    HALT = "halt"  # no entries
    ESCAPE = "escape"  # no entries, and what is held is closed


class Approved(msgspec.Struct, frozen=True, kw_only=True, tag=True, tag_field="is"):
    """The only ticket that an executor accepts. Made by the risk stage alone.

    `lots` is the size it permits, `leverage` an output (notional / equity), `epoch` the supervisor's fencing number,
    `expires` the event time after which it is void. Of a hedged intent `lots` and `leverage` are those of its own leg,
    `hedge_lots` those of the other; `risk` and `margin` are of both, `hedge_margin` is the other's part.
    """

    seq: int
    ts: int
    intent: Intent
    lots: int
    leverage: float
    risk: float  # quote currency lost if the stop fills at its price, costs included
    margin: float  # quote currency tied up at the venue
    epoch: int
    expires: int
    hedge_lots: int = 0
    hedge_margin: float = 0.0


class Refused(msgspec.Struct, frozen=True, kw_only=True, tag=True, tag_field="is"):
    """An intent that may not become an order, and what was measured against which limit."""

    seq: int
    ts: int
    intent: Intent
    code: str
    measured: float
    limit: float
    action: str = "no entry"


class EpochBegan(msgspec.Struct, frozen=True, kw_only=True, tag=True, tag_field="is"):
    """A supervisor took over under a new fencing epoch; approvals of an older one are void from here on.

    `at_seq` is the number of the risk stage's entry before which it happened, so that a replay repeats it.
    """

    ts: int
    epoch: int
    at_seq: int


class RiskStateChanged(msgspec.Struct, frozen=True, kw_only=True, tag=True, tag_field="is"):
    """The supervisor permits more or less than before; `reasons` are `code: measured against limit`.

    `instrument` is the one that it holds for, -1 for all.
    """

    ts: int
    state: RiskState
    before: RiskState
    reasons: tuple[str, ...]
    instrument: int = -1


Verdict = Approved | Refused
