"""An order that is being split: what of it is under way, what is still to be placed, and how far its end is told."""

from __future__ import annotations

from enum import IntEnum

import msgspec
import numpy as np

from spyhop.clock import NS_PER_S
from spyhop.execution.flights import Flight
from spyhop.execution.splitting import schedules
from spyhop.execution.splitting.params import SplitParams
from spyhop.execution.splitting.schedules import Schedule
from spyhop.model.orders import SubmitOrder

NEVER = (1 << 63) - 1
MAX_CHILDREN = 999
"""So that `parent.999` stays within the 36 characters of a venue."""


class Told(IntEnum):
    """How much of an order's beginning its owner has heard; it only goes up."""

    NOTHING = 0
    SENT = 1
    UNKNOWN = 2
    ACCEPTED = 3


class Parent(msgspec.Struct):
    """One order on its way, child by child.

    `number` counts the orders split before it and is where its random numbers come from; `plan` are the slices not
    sent yet, `due` (ns) when to look again, `end` when nothing new is placed any more; `volume` lots were traded since
    the last look; `reference` (ticks) is the mid at the first child, against which all of it is measured.
    """

    order: SubmitOrder
    number: int
    smallest: int
    end: int
    plan: Schedule = []
    due: int = NEVER
    flights: dict[str, Flight] = {}
    num_children: int = 0
    filled: int = 0
    volume: int = 0
    reference: float = 0.0
    told: Told = Told.NOTHING
    is_giving_up: bool = False
    rejected_for: str = ""

    @property
    def unplaced(self) -> int:
        """Return the lots that are neither filled nor under way."""
        return max(0, self.order.lots - self.filled - sum(flight.left for flight in self.flights.values()))

    @property
    def is_unclear(self) -> bool:
        """Return whether a child is at the venue or not, and nobody can say."""
        return any(flight.is_unknown for flight in self.flights.values())

    def wake(self) -> int:
        """Return when something is to be done by itself, NEVER if nothing is; an unclear child is waited for."""
        return NEVER if self.is_giving_up or self.is_unclear else self.due

    def child(self, ts: int, lots: int) -> SubmitOrder:
        """Return the next child of `lots`, now under way."""
        self.num_children += 1
        key = f"{self.order.client_order_id}.{self.num_children}"
        order = msgspec.structs.replace(self.order, ts=ts, client_order_id=key, lots=lots)
        self.flights[key] = Flight(order, lots)
        return order


def begun(order: SubmitOrder, number: int, smallest: int, params: SplitParams) -> Parent:
    """Return the parent of an order with its plan; it looks at itself at once, but for pov, after an interval."""
    duration = int(params.duration_s * NS_PER_S)
    parent = Parent(order, number, smallest, order.ts + duration)
    if params.kind == "pov":
        parent.due = order.ts + int(params.interval_s * NS_PER_S)
    elif params.kind == "iceberg":
        parent.due = order.ts
    else:
        parent.plan = _plan(order, number, smallest, params, duration)
        parent.due = order.ts
    return parent


def _plan(order: SubmitOrder, number: int, smallest: int, params: SplitParams, duration: int) -> Schedule:
    generator = np.random.default_rng([params.seed, number])
    times = schedules.slice_times(order.ts, duration, params.num_slices, params.jitter_frac, generator)
    if params.kind == "vwap":
        return schedules.vwap(order.lots, times, order.ts + duration, params.volume_curve, smallest)
    if params.kind == "almgren_chriss":
        return schedules.almgren_chriss(order.lots, times, params.urgency, smallest)
    return schedules.twap(order.lots, times, smallest)


def looked(parent: Parent, ts: int, params: SplitParams) -> int:
    """Return how many lots to send at `ts`, and set when to look again; 0 for none now."""
    if parent.num_children >= MAX_CHILDREN:
        parent.due = NEVER
        return 0
    match params.kind:
        case "pov":
            return _followed(parent, ts, params)
        case "iceberg":
            return _shown(parent, ts, params)
        case _:
            return _planned(parent, ts)


def _planned(parent: Parent, ts: int) -> int:
    lots = 0
    while parent.plan and parent.plan[0][0] <= ts:
        lots += parent.plan.pop(0)[1]
    if parent.plan:
        parent.due = parent.plan[0][0]
        # what a child could not get waits for the end
        return min(lots, parent.unplaced)
    if ts < parent.end:
        parent.due = parent.end
        return min(lots, parent.unplaced)
    parent.due = NEVER
    return parent.unplaced


def _followed(parent: Parent, ts: int, params: SplitParams) -> int:
    if ts >= parent.end:
        parent.due = NEVER
        return 0
    parent.due = min(parent.end, ts + int(params.interval_s * NS_PER_S))
    cap = max(parent.smallest, int(parent.order.lots * params.max_child_frac))
    lots = schedules.pov(parent.unplaced, parent.volume, params.participation_frac, cap, parent.smallest)
    if lots > 0:
        parent.volume = 0  # what was more than the cap is not run after
    return lots


def _shown(parent: Parent, ts: int, params: SplitParams) -> int:
    if ts >= parent.end:
        parent.due = NEVER
        return 0
    parent.due = parent.end
    if any(not flight.is_landed for flight in parent.flights.values()):
        return 0
    generator = np.random.default_rng([params.seed, parent.number, parent.num_children])
    visible = (params.min_visible_frac, params.max_visible_frac)
    return schedules.iceberg(parent.unplaced, parent.order.lots, visible, generator, parent.smallest)
