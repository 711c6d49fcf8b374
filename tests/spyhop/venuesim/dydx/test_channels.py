from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import numpy as np

from spyhop.model.tape import EVENT, Events, Flag, Kind, Side
from spyhop.venuesim.dydx.indexer_socket import ORDERBOOK


def frame(rows: list[tuple[Kind, Side, int, int, int]]) -> Events:
    """Rows of (kind, side, flags, price, lots)."""
    tape = np.zeros(len(rows), EVENT)
    for row, (kind, side, flags, price, lots) in zip(tape, rows, strict=True):
        row["kind"], row["side"], row["flags"], row["price"], row["qty"] = kind, side, flags, price, lots
    return tape


def test_a_new_snapshot_of_the_tape_takes_away_what_it_does_not_hold(bench: Callable[..., Any]) -> None:
    async def go() -> None:
        async with bench() as sim:
            told: list[dict[str, Any]] = []

            class Heard:
                def has_members(self, channel: str, key: str) -> bool:
                    return True

                def publish(self, channel: str, key: str, contents: dict[str, Any]) -> None:
                    assert channel == ORDERBOOK
                    told.append(contents)

            channels = sim.front._channels
            last = int(Flag.LAST)
            part = int(Flag.FROM_SNAPSHOT)
            rows = frame(
                [
                    (Kind.SNAPSHOT, Side.NONE, 0, 0, 2),
                    (Kind.LEVEL, Side.BUY, part, 59_999, 7),
                    (Kind.LEVEL, Side.SELL, part | last, 70_000, 8),
                    (Kind.LEVEL, Side.BUY, 0, 59_999, 0),
                    (Kind.LEVEL, Side.SELL, last, 70_000, 9),
                    (Kind.LEVEL, Side.NONE, int(Flag.EMPTY) | last, 0, 0),
                ]
            )
            channels.on_market(Heard(), 0, rows)
            whole, update = told  # a frame without levels says nothing
            bids, asks = dict(whole["bids"]), dict(whole["asks"])
            assert (bids.pop("59999"), asks.pop("70000")) == ("0.0007", "0.0008")
            assert set(bids.values()) == set(asks.values()) == {"0"}
            assert len(bids) == 119  # the tape held 120 bids and 120 asks
            assert len(asks) == 120
            assert update == {"bids": [["59999", "0"]], "asks": [["70000", "0.0009"]]}

    asyncio.run(go())
