"""What the risk stage says. We refuse; the venue rejects."""

from __future__ import annotations

import msgspec

from spyhop.model.decisions import Intent


class Approved(msgspec.Struct, frozen=True, kw_only=True, tag=True, tag_field="is"):
    """The only ticket that an executor accepts. Made by the risk stage alone.

    `lots` is the size it permits, `leverage` an output (notional / equity), `epoch` the supervisor's fencing number,
    `expires` the event time after which it is void.
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


Verdict = Approved | Refused
