"""When a session's decisions and orders came, seen from outside, and where its books differ from the venue's."""

from __future__ import annotations

import threading
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from itertools import pairwise
from operator import itemgetter
from pathlib import Path
from typing import Any, NamedTuple

import msgspec

from spyhop.clock import NS_PER_S, WallClock
from spyhop.model.decisions import Decision
from spyhop.model.entries import Entry
from spyhop.model.orders import Difference, Fill, OrderChanged, OrderStatus

LOOK_S = 0.2
NEVER_SENT = {OrderStatus.PENDING_NEW, OrderStatus.REJECTED, OrderStatus.SENT, OrderStatus.UNKNOWN}
CLOCK = WallClock()

_ENTRY = msgspec.json.Decoder(Entry)


class Row(NamedTuple):
    """What came of one blow, seconds after it; the usual is the longest silence of orders in the time before."""

    what: str
    noticed_s: float
    detected_s: float
    orders_s: float
    usual_s: float
    lost: int
    doubled: int

    def __str__(self) -> str:
        times = "".join(f"{one:>11.1f}" for one in self[1:5])
        return f"{self.what:34}{times}{self.lost:>7}{self.doubled:>9}"


HEADINGS = f"{'what':34}{'noticed s':>11}{'detected s':>11}{'orders s':>11}{'usual s':>11}{'lost':>7}{'doubled':>9}"


class Sight:
    """Looks at a journal five times a second: when were new decisions about each instrument on the shared disk?"""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self.decided: dict[int, list[int]] = defaultdict(list)
        self._is_over = threading.Event()
        self._thread = threading.Thread(target=self._look, daemon=True)
        self._thread.start()

    def _look(self) -> None:
        path, place, known = self._folder / "facts.log", 0, -1
        while not self._is_over.wait(LOOK_S):
            if not path.exists():
                continue
            # only what is new: to read all of it again takes from the machines what is measured on them
            now, (lines, place) = CLOCK.now_ns(), lines_from(path, place)
            for line in lines:
                entry = told_in(line)
                if entry is not None and isinstance(entry.message, Decision) and entry.seq > known:
                    self.decided[entry.message.instrument].append(now)
                    known = entry.seq

    def end(self) -> None:
        """Look no more."""
        self._is_over.set()
        self._thread.join(10.0)


def lines_from(path: Path, place: int) -> tuple[list[bytes], int]:
    """Return the whole lines of a file from a place on, and where they end; from its end where it was cut shorter."""
    with path.open("rb") as file:
        file.seek(min(place, path.stat().st_size))
        *lines, rest = file.read().split(b"\n")
        return lines, file.tell() - len(rest)


def told_in(line: bytes) -> Entry | None:
    """Return the entry in a line of the journal, None where it holds none: a frame's head, or what is torn."""
    try:
        return _ENTRY.decode(line)
    except msgspec.DecodeError:
        return None


def back_s(times: Iterable[int], at: int, until: int, usual: float = 0.0) -> float:
    """Return how long after `at` the longest silence ended, of those that began until ten seconds after; inf if never.

    0 where none was longer than twice the `usual` seconds: nothing was interrupted.
    """
    points = [at, *sorted(time for time in times if at < time <= until), until]
    silences = [(second - first, second) for first, second in pairwise(points) if first - at < 10 * NS_PER_S]
    longest, end = max(silences, key=itemgetter(0))
    if longest <= 2 * usual * NS_PER_S:
        return 0.0
    return float("inf") if end == until and longest > 5 * NS_PER_S else (end - at) / NS_PER_S


def usual_s(times: Iterable[int], begin: int, end: int) -> float:
    """Return the longest silence between two times."""
    points = [begin, *sorted(time for time in times if begin < time <= end), end]
    return max(second - first for first, second in pairwise(points)) / NS_PER_S


class Wrong(NamedTuple):
    """An order that the venue and our books tell differently, and when we first spoke of it."""

    ts: int
    order: str
    text: str
    is_double: bool = False


def wrong(entries: Sequence[Entry], account: dict[str, Any]) -> list[Wrong]:
    """Return every order that is lost or doubled: the venue's word of orders and fills against the journal's."""
    booked: Counter[str] = Counter()
    began: dict[str, int] = {}
    last: dict[str, OrderStatus] = {}
    fills: Counter[tuple[int, str]] = Counter()
    for entry in entries:
        message = entry.message
        if isinstance(message, OrderChanged):
            began.setdefault(message.client_order_id, entry.ts)
            last[message.client_order_id] = message.status
        elif isinstance(message, Fill):
            booked[message.client_order_id] += message.lots
            fills[message.instrument, message.fill_id] += 1
    found = [
        Wrong(0, fill, f"fill {fill} is booked {count} times", is_double=True)
        for (_, fill), count in fills.items()
        if count > 1
    ]
    names = Counter(order["client_id"] for order in account["orders"])
    there = {order["client_id"]: order for order in account["orders"]}
    for name, count in names.items():
        at, filled, ours = began.get(name, 0), there[name]["filled"], booked[name]
        if count > 1:
            found.append(Wrong(at, name, f"{name} is at the venue {count} times", is_double=True))
        if name not in began:
            found.append(Wrong(at, name, f"{name} is at the venue and not in the journal"))
        elif filled != ours:
            text = f"{name}: {filled} lots at the venue, {ours} in the journal"
            found.append(Wrong(at, name, text, is_double=ours > filled))
    for name, status in last.items():
        if name not in there and status not in NEVER_SENT:
            found.append(Wrong(began[name], name, f"{name} is {status.value} here and unknown to the venue"))
    return found


def unrepaired(entries: Sequence[Entry]) -> list[Difference]:
    """Return the differences that a comparison with the venue found and could not put right."""
    return [e.message for e in entries if isinstance(e.message, Difference) and not e.message.is_repaired]


def senders(sent: Sequence[tuple[int, str, str, str]]) -> list[tuple[str, int, int, int]]:
    """Return who sent for an account, one after the other: address, first and last time, how many requests."""
    found: list[tuple[str, int, int, int]] = []
    for at, _, address, _ in sent:
        if found and found[-1][0] == address:
            found[-1] = (address, found[-1][1], at, found[-1][3] + 1)
        else:
            found.append((address, at, at, 1))
    return found
