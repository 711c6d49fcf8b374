from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import msgspec
import numpy as np
import pytest

from spyhop.clock import NS_PER_S
from spyhop.errors import MissingInput
from spyhop.model import tape
from spyhop.model.control import Session
from spyhop.model.entries import Entry
from spyhop.model.tape import Kind
from spyhop.reports.model import Report
from spyhop.reports.sessions import of_session, write
from spyhop.storage.journal import FactWriter, TapeWriter, write_session

T = 1_764_350_100 * NS_PER_S


def test_a_recorded_session_is_read_measured_and_written(
    tmp_path: Path, make_story: Callable[[list[float]], list[Entry]], make_session: Callable[..., Session]
) -> None:
    folder = tmp_path / "s20251128_171500_000000"
    write_session(folder, make_session())
    facts = FactWriter(folder)
    facts.append(make_story([7.0, -18.0]))
    facts.close()
    events = tape.empty(50)
    events["kind"], events["price"], events["aux"], events["qty"], events["aux2"] = Kind.QUOTE, 500_000, 500_001, 9, 9
    events["ts_recv"] = events["ts_event"] = T + np.arange(50) * (NS_PER_S // 5)
    events["id"] = np.arange(1, 51)
    writer = TapeWriter(folder, "BTCUSDT")
    writer.append(events)
    writer.close()
    report = of_session(folder)
    assert report.money.net == pytest.approx(-11.0)
    assert [quality.symbol for quality in report.quality] == ["BTCUSDT"]
    html, json = write(report, tmp_path / "out")
    assert "BTCUSDT" in html.read_text()
    assert msgspec.json.decode(json.read_bytes(), type=Report) == report


def test_settings_of_another_version_do_not_stop_a_report(tmp_path: Path, make_session: Callable[..., Session]) -> None:
    write_session(tmp_path, make_session(settings={"detection": {"no_such_key": 1}}))
    writer = TapeWriter(tmp_path, "binance-usdm:BTCUSDT")
    writer.append(tape.event(Kind.TRADE, T, price=1, qty=1))
    writer.close()
    assert of_session(tmp_path).quality[0].num_trades == 1


def test_no_session_is_said(tmp_path: Path) -> None:
    with pytest.raises(MissingInput):
        of_session(tmp_path)
