"""The system log of a session: one line for each entry, as a person reads it, in event time."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Sequence
from pathlib import Path

from spyhop.clock import iso_ms
from spyhop.errors import StorageFailed
from spyhop.model.control import Obeyed
from spyhop.model.decisions import Decision, Intent
from spyhop.model.entries import Entry, Recorded
from spyhop.model.instruments import Instrument
from spyhop.model.observations import Comparison
from spyhop.model.orders import (
    Difference,
    Fact,
    Fill,
    FundingPaid,
    Liquidated,
    OrderChanged,
    OrderStatus,
    PairEnded,
    Reconciled,
    TradeClosed,
)
from spyhop.model.verdicts import Approved, EpochBegan, Refused, RiskStateChanged

_KEY = re.compile(rb"^\S+ \S+ +(\w+)#(\d+) ", re.MULTILINE)


class SystemLog:
    """Appends lines to `path`; an entry that has its line already gets no second one. Raises StorageFailed.

    Entries of one stage come in the order of their numbers, so the newest number of each stage is enough to know.
    """

    def __init__(self, path: Path, instruments: Sequence[Instrument]) -> None:
        self._path = path
        self._instruments = {instrument.id: instrument for instrument in instruments}
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            self._file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o644)
            self._next = self._known()
        except OSError as error:
            raise StorageFailed(str(path), error.strerror or str(error)) from error

    def _known(self) -> dict[str, int]:
        following: dict[str, int] = {}
        size = 0
        with self._path.open("rb") as file:
            for line in file:
                if not line.endswith(b"\n"):
                    break
                size += len(line)
                if found := _KEY.match(line):
                    following[found[1].decode()] = int(found[2]) + 1
        os.ftruncate(self._file, size)
        return following

    def append(self, entries: Iterable[Entry]) -> None:
        """Write a line for each entry that has none."""
        lines: list[str] = []
        following = dict(self._next)
        for entry in entries:
            if entry.seq < following.get(entry.stage, 0):
                continue
            following[entry.stage] = entry.seq + 1
            level, text = said(entry.message, self._instruments)
            lines.append(f"{iso_ms(entry.ts)} {level:<7} {entry.stage}#{entry.seq} {text}\n")
        if lines:
            self._write("".join(lines))
        self._next = following

    def note(self, ts: int, text: str, level: str = "INFO") -> None:
        """Write a line that belongs to no entry."""
        self._write(f"{iso_ms(ts)} {level:<7} {_one_line(text)}\n")

    def _write(self, text: str) -> None:
        start = os.fstat(self._file).st_size
        data = memoryview(text.encode())
        try:
            while data:
                data = data[os.write(self._file, data) :]
        except OSError as error:
            os.ftruncate(self._file, start)
            raise StorageFailed(str(self._path), error.strerror or str(error)) from error

    def close(self) -> None:
        """Let the file go; asked again, do nothing."""
        if self._file >= 0:
            os.close(self._file)
            self._file = -1


def said(message: Recorded, instruments: dict[int, Instrument]) -> tuple[str, str]:
    """Return the level (INFO or WARNING) of a message and what it says in one line."""
    match message:
        case Decision() as m:
            outcome = f"no entry: {'; '.join(m.reasons)}" if m.reasons else "entry wanted"
            text = (
                f"{m.strategy} probability {m.probability:.3f} confidence {m.confidence:.3f} side {m.side.name} "
                f"at {m.price:g} ({m.trigger.value}); {outcome}"
            )
            return "INFO", _of(m.instrument, instruments, text)
        case Intent() as m:
            at = instruments[m.instrument].price
            text = (
                f"intent {m.seq}: {m.side.name} {m.strategy} reference {at(m.reference)} "
                f"take profit {at(m.take_profit)} stop {at(m.stop)}"
            )
            return "INFO", _of(m.instrument, instruments, text)
        case Approved() as m:
            text = (
                f"approved intent {m.intent.seq}: {m.lots} lots, leverage {m.leverage:.2f}, "
                f"risk {m.risk:.2f}, margin {m.margin:.2f}, epoch {m.epoch}"
            )
            return "INFO", _of(m.intent.instrument, instruments, text)
        case Refused() as m:
            text = f"refused intent {m.intent.seq}: {m.code} measured {m.measured:g} limit {m.limit:g}; {m.action}"
            return "WARNING", _of(m.intent.instrument, instruments, text)
        case EpochBegan() as m:
            return "WARNING", f"epoch {m.epoch} began; approvals of an older one are void"
        case Obeyed() as m:
            return "WARNING", f"an operator said: {m.word.text}{f'; refused: {m.refused}' if m.refused else ''}"
        case RiskStateChanged() as m:
            text = f"risk state {m.before.value} -> {m.state.value}: {'; '.join(m.reasons)}"
            return "WARNING", text if m.instrument < 0 else _of(m.instrument, instruments, text)
        case Comparison() as m:
            text = f"{m.risk_state} at a {m.cause}{f': {m.halt_reason}' if m.halt_reason else ''}"
            return "INFO", _of(m.instrument, instruments, text)
        case _:
            return _said_of_orders(message, instruments)


def _said_of_orders(message: Fact, instruments: dict[int, Instrument]) -> tuple[str, str]:
    match message:
        case OrderChanged() as m:
            order = m.order
            text = (
                f"order {m.client_order_id} {m.status.value}: {order.purpose.value} {order.side.name} "
                f"{order.type.value} {m.filled}/{order.lots} lots ({m.cause}){f': {m.reason}' if m.reason else ''}"
            )
            level = "WARNING" if m.status is OrderStatus.REJECTED else "INFO"
            return level, _of(m.instrument, instruments, text)
        case Fill() as m:
            text = (
                f"fill {m.fill_id}: {m.side.name} {m.lots} lots at {instruments[m.instrument].price(m.price)} "
                f"{m.liquidity.value}, fee {m.fee:.4f}, slippage {m.slippage:.4f}"
            )
            return "INFO", _of(m.instrument, instruments, text)
        case FundingPaid() as m:
            return "INFO", _of(m.instrument, instruments, f"funding {m.amount:.4f} at rate {m.rate:g}")
        case Liquidated() as m:
            at_price = instruments[m.instrument].price(m.price)
            return "WARNING", _of(
                m.instrument, instruments, f"liquidated {m.lots} lots at {at_price}, loss {m.loss:.2f}"
            )
        case TradeClosed() as m:
            text = (
                f"trade {m.trade_id} closed by {m.exit_purpose}: gross {m.gross:.4f} fees {m.fees:.4f} "
                f"funding {m.funding:.4f} net {m.net:.4f}"
            )
            return "INFO", _of(m.instrument, instruments, text)
        case PairEnded() as m:
            why = f", {m.reason}" if m.reason else ""
            text = (
                f"pair of intent {m.intent_seq} with {instruments[m.hedge].symbol} ended{why}: {m.num_legs} legs, "
                f"gross {m.gross:.4f} fees {m.fees:.4f} funding {m.funding:.4f} net {m.net:.4f}"
            )
            return "INFO", _of(m.instrument, instruments, text)
        case Difference() as m:
            repaired = "repaired" if m.is_repaired else "not repaired"
            text = f"{m.kind.value} {m.order}: ours {m.ours:g}, the venue's {m.theirs:g}, {repaired}; {m.note}"
            return "WARNING", _of(m.instrument, instruments, text)
        case Reconciled() as m:
            text = f"reconciled at {m.cause}: {m.num_differences} differences, {'clean' if m.is_clean else 'held'}"
            return "INFO" if m.is_clean else "WARNING", _of(m.instrument, instruments, text)


def _of(instrument: int, instruments: dict[int, Instrument], text: str) -> str:
    return _one_line(f"{instruments[instrument].symbol} {text}")


def _one_line(text: str) -> str:
    return " ".join(text.split())
