"""How many intents a second the supervisor judges: its stage alone, and as a vessel with parcels and records.

One process, nothing waits for a disk: what an actor adds is the way of a parcel and one commit, and a commit takes all
that waits for it. Each intent comes behind an observation of its instant, as the ensemble sends them.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections import Counter

import msgspec

from benchmarks.output import say
from spyhop.clock import NS_PER_S, WallClock
from spyhop.config.settings import SessionConfig, Settings
from spyhop.engine.edges import Position, Receipt
from spyhop.engine.vessels import RECORDS, RECORDS_DECODER, Messages, RiskVessel
from spyhop.model.decisions import Intent
from spyhop.model.observations import Observation
from spyhop.model.tape import Side
from spyhop.model.verdicts import Approved, Refused
from spyhop.wiring import nodes
from spyhop.wiring.plan import RunRequest, SessionPlan, plan_session

START = 1_764_350_100 * NS_PER_S
COUNT = 10_000
EVERY_NS = 61 * NS_PER_S
"""More than the least time between two trades, so that intents are measured against every limit."""
PRICE, TICKS = 100_000.0, 1_000_000


def main() -> None:
    """Print one JSON object a line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--count", type=int, default=COUNT, help="how many intents")
    count = parser.parse_args().count
    wishes = [(observed(START + k * EVERY_NS), intent(k, START + k * EVERY_NS)) for k in range(count)]
    with tempfile.TemporaryDirectory() as runs:
        settings = Settings(session=SessionConfig(runs=runs))
        limits = msgspec.structs.replace(settings.risk.limits, max_trades_per_day=count)
        settings = msgspec.structs.replace(settings, risk=msgspec.structs.replace(settings.risk, limits=limits))
        plan = plan_session(settings, RunRequest(), WallClock())
        by_stage(plan, wishes)
        by_vessel(plan, wishes)


def by_stage(plan: SessionPlan, wishes: list[tuple[Observation, Intent]]) -> None:
    """Measure the node: no bytes."""
    node = nodes.risk_node(plan)
    told: Counter[str] = Counter()
    begun = time.perf_counter()
    for observation, wish in wishes:
        node.intents.put([observation, wish], wish.ts + 1)
        node.facts.put([], wish.ts + 1)
        told.update(type(entry.message).__name__ for entry in node.step().entries)
    tell("verdicts_stage", told, time.perf_counter() - begun)


def by_vessel(plan: SessionPlan, wishes: list[tuple[Observation, Intent]]) -> None:
    """Measure the vessel: parcels in, records and approvals out, each acknowledged."""
    vessel = RiskVessel(nodes.risk_node(plan))
    told: Counter[str] = Counter()
    begun = time.perf_counter()
    for number, wish in enumerate(wishes):
        until = wish[1].ts + 1
        vessel.receive("facts", 0, msgspec.msgpack.encode(Messages(until)))
        vessel.receive("intents", 2 * number, msgspec.msgpack.encode(Messages(until, 2, msgspec.msgpack.encode(wish))))
        for edge in (RECORDS, "approved"):
            while (parcel := vessel.next_parcel(edge)) is not None:
                if edge == RECORDS:
                    told.update(type(entry.message).__name__ for entry in RECORDS_DECODER.decode(parcel.data).entries)
                    vessel.outboxes[edge].acknowledge(Receipt.of_records(parcel.first))
                else:
                    position = Position(parcel.end, parcel.watermark)
                    vessel.outboxes[edge].acknowledge(Receipt(position, position))
    tell("verdicts_vessel", told, time.perf_counter() - begun)


def tell(name: str, told: Counter[str], seconds: float) -> None:
    """Say how many verdicts there were in a second."""
    count = told[Approved.__name__] + told[Refused.__name__]
    on = f"{count} intents, {told[Approved.__name__]} approved, one process"
    say(name, count / seconds, "verdicts/s", on=on)


def intent(seq: int, ts: int) -> Intent:
    """Return a long with its stop a tenth of a percent away."""
    return Intent(
        seq=seq,
        ts=ts,
        instrument=0,
        decision_seq=seq,
        side=Side.BUY,
        strategy="WHALE_PUMP",
        probability=0.8,
        confidence=0.75,
        reference=TICKS,
        take_profit=TICKS + 1_500,
        stop=TICKS - 1_000,
        max_hold_ns=1,
    )


def observed(ts: int) -> Observation:
    """Return a calm and deep market."""
    return Observation(
        ts=ts,
        instrument=0,
        mid=PRICE,
        last=PRICE,
        ts_venue=ts,
        age_ns=0,
        spread=0.1,
        depth_bid=1e6,
        depth_ask=1e6,
        fill_buy=PRICE + 0.1,
        fill_sell=PRICE - 0.1,
        sigma_1m=5e-4,
        volatility_rank=0.5,
        atr=50.0,
    )


if __name__ == "__main__":
    main()
