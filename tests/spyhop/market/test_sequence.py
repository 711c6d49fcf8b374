from __future__ import annotations

import gzip
import json
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from spyhop.market import sequence
from spyhop.market.book import BOOK
from spyhop.market.sequence import SEQUENCE, SYNCED, WAITING
from spyhop.model.tape import EVENT, Flag, Kind, event, joined

DATA = Path(__file__).resolve().parents[4] / "shared" / "data"
SOCKETS = DATA / "wire" / "cryptofeed" / "sample_data"
needs_data = pytest.mark.skipif(not DATA.exists(), reason="the shared recordings are not beside this tree")


class Folder:
    """A book fed frame by frame, as the loop does it."""

    def __init__(self) -> None:
        self.sequence = np.zeros(1, SEQUENCE)[0]
        self.book = np.zeros(1, BOOK)[0]
        self.tops: dict[int, tuple[int, int, int, int]] = {}
        self.num_crossed = 0

    def fold(self, events: Any) -> None:
        i = 0
        while i < len(events):
            row = events[i]
            has_changed = False
            if row["kind"] == Kind.SNAPSHOT:
                has_changed = sequence.on_snapshot(
                    self.sequence, self.book, int(row["ts_recv"]), int(row["id"]), int(row["qty"])
                )
                i += 1
            elif row["kind"] == Kind.LEVEL:
                i, has_changed = sequence.on_levels(self.sequence, self.book, events, i)
            else:
                i += 1
            if has_changed and self.sequence["state"] == SYNCED:
                self.tops[int(self.sequence["last_id"])] = self.top()

    def top(self) -> tuple[int, int, int, int]:
        return tuple(int(self.book[name]) for name in ("bid", "bid_qty", "ask", "ask_qty"))  # type: ignore[return-value]

    def levels(self) -> dict[tuple[int, int], int]:
        return levels_of(self.book)


def levels_of(book: Any) -> dict[tuple[int, int], int]:
    half = len(book["near"]) // 2
    out = {}
    for place in np.flatnonzero(book["near"]):
        side = 1 if place < half else -1
        out[side, int(book["base"] + place % half)] = int(book["near"][place])
    for slot in np.flatnonzero(book["far_key"]):
        key = int(book["far_key"][slot])
        out[-1 if key & 1 else 1, key >> 1] = int(book["far_qty"][slot])
    return out


def frame(u: int, first: int, pu: int, *levels: tuple[int, int, int], flags: int = 0, ts: int = 1) -> Any:
    rows = [
        event(
            Kind.LEVEL,
            ts,
            side=side,
            price=price,
            qty=qty,
            id=u,
            aux=first,
            aux2=pu,
            flags=flags | (Flag.LAST if k == len(levels) - 1 else 0),
        )
        for k, (side, price, qty) in enumerate(levels)
    ]
    if not levels:
        rows = [event(Kind.LEVEL, ts, id=u, aux=first, aux2=pu, flags=flags | Flag.LAST | Flag.EMPTY)]
    return joined(rows)


def snapshot(last_id: int, *levels: tuple[int, int, int], ts: int = 1) -> Any:
    head = event(Kind.SNAPSHOT, ts, id=last_id, qty=len(levels))
    return joined([head, frame(last_id, last_id, -1, *levels, flags=Flag.FROM_SNAPSHOT, ts=ts)] if levels else [head])


START = snapshot(100, (1, 1000, 5), (1, 999, 6), (-1, 1001, 7))


def test_a_futures_frame_continues_when_pu_is_the_last_u() -> None:
    f = Folder()
    f.fold(joined([START, frame(105, 98, 97, (1, 1000, 9)), frame(110, 108, 105, (-1, 1001, 0), (-1, 1002, 3))]))
    assert f.sequence["state"] == SYNCED
    assert f.top() == (1000, 9, 1002, 3)
    assert f.sequence["num_gaps"] == 0


def test_a_spot_frame_continues_when_first_follows_the_last_u() -> None:
    f = Folder()
    f.fold(joined([START, frame(105, 101, -1, (1, 1000, 9)), frame(106, 106, -1, (1, 1000, 0))]))
    assert f.sequence["state"] == SYNCED
    assert f.top()[:2] == (999, 6)


@pytest.mark.parametrize(
    "second", [frame(120, 112, 111, (1, 1000, 1)), frame(120, 108, -1, (1, 1000, 1))], ids=["futures", "spot"]
)
def test_a_break_empties_the_book_until_the_next_snapshot(second: Any) -> None:
    f = Folder()
    first = frame(105, 101, 100 if second["aux2"][0] >= 0 else -1, (1, 1000, 9))
    f.fold(joined([START, first, second]))
    assert f.sequence["state"] == WAITING
    assert f.sequence["num_gaps"] == 1
    assert f.levels() == {}
    f.fold(snapshot(119, (1, 900, 1), (-1, 950, 1)))
    assert f.sequence["state"] == SYNCED
    assert f.levels() == {(1, 900): 1, (-1, 950): 1, (1, 1000): 1}


@pytest.mark.parametrize(
    ("u", "first", "pu", "is_accepted"),
    [
        (99, 90, 80, True),  # the snapshot holds it already: dropped, and nothing is missing
        (100, 90, 80, True),
        (105, 100, 99, True),
        (105, 101, 100, True),  # pu says that nothing lies between
        (105, 101, 99, False),
        (105, 101, -1, True),
        (105, 95, -1, True),
        (105, 102, -1, False),
    ],
)
def test_the_first_frame_after_a_snapshot_must_straddle_it(u: int, first: int, pu: int, is_accepted: bool) -> None:
    f = Folder()
    f.fold(joined([START, frame(u, first, pu, (1, 1000, 9))]))
    assert (f.sequence["state"] == SYNCED) == is_accepted
    assert f.sequence["num_gaps"] == (0 if is_accepted else 1)


def test_frames_before_the_snapshot_are_played_over_it() -> None:
    frames = [
        frame(95, 90, 89, (1, 1000, 50)),
        frame(101, 96, 95, (1, 1000, 8)),
        frame(107, 102, 101, (1, 998, 4)),
    ]
    before, after = Folder(), Folder()
    before.fold(joined([*frames, START]))
    after.fold(joined([START, *frames]))
    assert before.levels() == after.levels() == {(1, 1000): 8, (1, 999): 6, (1, 998): 4, (-1, 1001): 7}
    assert before.sequence["num_old"] == 1


def test_a_snapshot_older_than_every_kept_frame_is_not_believed() -> None:
    f = Folder()
    f.fold(joined([frame(120, 115, 114, (1, 1000, 8)), START]))
    assert f.sequence["state"] == WAITING
    assert f.sequence["num_stale_snapshots"] == 1
    f.fold(snapshot(118, (1, 999, 1), (-1, 1005, 2)))
    assert f.top() == (1000, 8, 1005, 2)


def test_a_snapshot_older_than_the_book_is_ignored() -> None:
    f = Folder()
    f.fold(joined([START, frame(105, 101, 100, (1, 1000, 9)), snapshot(101, (1, 1, 1), (-1, 2, 1))]))
    assert f.top()[:2] == (1000, 9)
    assert f.sequence["num_stale_snapshots"] == 1


def test_a_frame_seen_twice_changes_nothing() -> None:
    f = Folder()
    twice = frame(105, 101, 100, (1, 1000, 9))
    f.fold(joined([START, twice, twice]))
    assert f.top()[:2] == (1000, 9)
    assert f.sequence["num_old"] == 1
    assert f.sequence["num_gaps"] == 0


def test_a_frame_without_a_last_row_is_found_out() -> None:
    f = Folder()
    torn = frame(105, 101, 100, (1, 1000, 9), (1, 999, 0))[:1]
    f.fold(joined([START, torn, frame(110, 106, 105, (1, 1000, 1))]))
    assert f.sequence["num_unfinished"] == 1
    assert f.sequence["state"] == WAITING


def test_impossible_levels_are_counted_and_dropped() -> None:
    f = Folder()
    f.fold(joined([START, frame(105, 101, 100, (1, -5, 1), (1, 0, 1), (1, 1000, -1), (0, 1000, 1), (1, 1 << 61, 1))]))
    assert f.sequence["num_bad_levels"] == 5
    assert f.levels() == {(1, 1000): 5, (1, 999): 6, (-1, 1001): 7}


def test_too_many_kept_levels_are_dropped_and_counted_and_never_hide_a_hole() -> None:
    f = Folder()
    wide = [(1, 1000 + k, 1) for k in range(5000)]
    frames = [frame(u, u, u - 1, *wide) for u in range(90, 95)]
    f.fold(joined([*frames, snapshot(91, (1, 1000, 5), (-1, 9001, 7))]))
    assert f.sequence["num_overflows"] > 0
    assert f.levels().get((1, 5999), 0) in (0, 1)
    f.fold(frame(95, 95, 94, (1, 1, 1)))
    f.fold(joined([snapshot(95, (1, 1000, 5), (1, 1, 1), (-1, 9001, 7)), frame(96, 96, 95, (1, 1000, 6))]))
    assert f.sequence["state"] == SYNCED
    assert f.top()[2:] == (9001, 7)
    assert f.levels() == {(1, 1000): 6, (-1, 9001): 7, (1, 1): 1}


@pytest.mark.parametrize("cut", range(1, 12))
def test_a_frame_may_be_cut_anywhere(cut: int) -> None:
    events = joined(
        [frame(101, 96, 95, (1, 1000, 8), (1, 997, 2)), START, frame(107, 102, 101, (1, 998, 4), (-1, 1001, 0))]
    )
    whole, parts = Folder(), Folder()
    whole.fold(events)
    parts.fold(events[:cut])
    parts.fold(events[cut:])
    assert parts.sequence.tobytes() == whole.sequence.tobytes()
    assert parts.book.tobytes() == whole.book.tobytes()


@pytest.mark.parametrize("cut", [3, 4_000, 16_384, 16_385, 16_400, 20_000])
def test_a_cut_makes_no_difference_where_too_many_levels_are_kept(cut: int) -> None:
    wide = np.repeat(frame(90, 90, 89, (1, 1000, 1)), 20_010)
    wide["flags"][:-1] = 0
    wide["price"] += np.arange(len(wide))
    whole, parts = Folder(), Folder()
    whole.fold(wide)
    parts.fold(wide[:cut])
    parts.fold(wide[cut:])
    assert whole.sequence["num_overflows"] == 1
    assert parts.sequence.tobytes() == whole.sequence.tobytes()


# -- the sockets that cryptofeed recorded in 2021 -------------------------------------------------------------------


def grid(text: str, places: int) -> int:
    return int(Decimal(text).scaleb(places))


def snapshots_of(path: Path, places: int) -> dict[str, Any]:
    out = {}
    for line in path.read_text().splitlines():
        if "depth?symbol=" not in line:
            continue
        symbol = line.split("symbol=")[1].split("&")[0]
        body = json.loads(line.split(": ", 1)[1])
        levels = [(1, grid(p, places), grid(q, 8)) for p, q in body["bids"]]
        levels += [(-1, grid(p, places), grid(q, 8)) for p, q in body["asks"]]
        out[symbol] = snapshot(body["lastUpdateId"], *levels)
    return out


def messages_of(path: Path) -> Iterator[dict[str, Any]]:
    for line in path.read_text().splitlines()[1:]:
        _, _, text = line.partition(": ")
        message = json.loads(text) if text.startswith("{") else {}
        if "data" in message:
            yield message["data"]


def diff(data: dict[str, Any], places: int) -> Any:
    levels = [(1, grid(p, places), grid(q, 8)) for p, q in data["b"]]
    levels += [(-1, grid(p, places), grid(q, 8)) for p, q in data["a"]]
    return frame(data["u"], data["U"], data.get("pu", -1), *levels)


@needs_data
@pytest.mark.parametrize(
    ("name", "places", "num_applied", "num_equal"),
    [("BINANCE_FUTURES", 5, 752, 50), ("BINANCE_FUTURES", 8, 752, 50), ("BINANCE", 8, 172, 26)],
    ids=["futures", "futures with ticks so fine that most levels lie beyond the window", "spot"],
)
def test_recorded_sockets_give_the_book_that_the_venue_quotes(
    name: str, places: int, num_applied: int, num_equal: int
) -> None:
    tapes = {symbol: [rows] for symbol, rows in snapshots_of(SOCKETS / f"{name}.http.0.0", places).items()}
    quotes: dict[tuple[str, int], tuple[int, ...]] = {}
    for data in messages_of(SOCKETS / f"{name}.ws.1.0"):
        if data.get("e") == "depthUpdate":
            tapes[data["s"]].append(diff(data, places))
        elif "B" in data:
            quotes[data["s"], data["u"]] = (
                grid(data["b"], places),
                grid(data["B"], 8),
                grid(data["a"], places),
                grid(data["A"], 8),
            )
    equal = compared = applied = 0
    for symbol, tape in tapes.items():
        f = Folder()
        f.fold(joined(tape))
        assert f.sequence["num_gaps"] == 0
        assert f.sequence["num_crossed"] == 0
        assert f.book["num_lost"] == 0
        applied += int(f.sequence["num_applied"])
        for u, top in f.tops.items():
            if (symbol, u) in quotes:
                compared += 1
                equal += top == quotes[symbol, u]
        # the same book when the snapshot comes last, as a recorder writes it
        late = Folder()
        late.fold(joined([*tape[1:], tape[0]]))
        assert late.levels() == f.levels()
        assert late.top() == f.top()
    assert (applied, equal, compared) == (num_applied, num_equal, num_equal)


@needs_data
@pytest.mark.slow
def test_a_raw_capture_agrees_with_every_quote_at_the_same_id() -> None:
    f = Folder()
    quotes = {}
    tape = []
    with gzip.open(DATA / "binance_raw" / "usdm_btcusdt_20240718.gz", "rt") as lines:
        for line in lines:
            message = json.loads(line.partition(" ")[2])
            data = message.get("data", message)
            if data.get("e") == "depthUpdate":
                tape.append(diff(data, 1))
            elif data.get("e") == "bookTicker":
                quotes[data["u"]] = (grid(data["b"], 1), grid(data["B"], 8), grid(data["a"], 1), grid(data["A"], 8))
            elif "lastUpdateId" in data:
                levels = [(1, grid(p, 1), grid(q, 8)) for p, q in data["bids"]]
                levels += [(-1, grid(p, 1), grid(q, 8)) for p, q in data["asks"]]
                tape.append(snapshot(data["lastUpdateId"], *levels))
    f.fold(np.concatenate(tape).astype(EVENT))
    assert f.sequence["num_gaps"] == 0
    assert f.sequence["num_crossed"] == 0
    shared = f.tops.keys() & quotes.keys()
    assert len(shared) >= 24
    assert all(f.tops[u] == quotes[u] for u in shared)
