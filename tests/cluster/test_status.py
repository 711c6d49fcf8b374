"""What `spyhop status` says of a conductor's answer, and what it says when there is none."""

from __future__ import annotations

import io
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest
import ray
from rich.console import Console

from actors.conductor import CONDUCTOR, SystemHealth
from actors.health import Health
from cluster import launch
from cluster.rays import NAMESPACE
from cluster.status import Status, shown, status_of

TS = 1_764_350_100_000_000_000


def actor(name: str, pid: int, beat_age_s: float = 0.0, **said: float) -> Health:
    statistics = {key.replace("__", ":").replace("_dot_", "."): value for key, value in said.items()}
    return Health(name, pid, beat_age_s, is_connected=True, is_finished=False, restarts=0, statistics=statistics)


def answer() -> SystemHealth:
    orders = actor("orders", 14, live_orders=3, open_trips=1, net=-12.5, mailbox=2)
    orders.statistics.update({"orders_filled": 10.0, "orders_rejected": 1.0, "orders_unknown": 0.0})
    risk = actor("risk", 13, equity=9_400.0, drawdown=0.06, risk_state=2)
    risk.statistics.update(
        {"risk_state:binance-usdm:BTCUSDT": 2.0, "risk_state:dydx:BTC-USD": 0.0}
        | {"cause:daily_drawdown": 0.06, "bound:daily_drawdown": 0.05}
    )
    btc = actor("feed:BTCUSDT", 11, lag_s=0.25, mode=1, price_age_ms=1_500, ts=TS, mid=90_000.5, gaps=2, unsent=4)
    btc.statistics["sequence.gaps"] = 1.0
    dydx = actor("feed:dydx:BTC-USD", 12, beat_age_s=6.0, ts=0)
    ledger = actor("ledger", 15, outage_s=4.0)
    return SystemHealth(
        [risk, btc, dydx, orders, ledger],
        silent=["ledger"],
        restarts={"risk": 1, "feed:BTCUSDT": 0, "feed:dydx:BTC-USD": 0, "orders": 0, "ensemble": 0},
        is_draining=True,
        is_finished=False,
    )


def text_of(status: Status) -> str:
    console = Console(width=160, record=True, file=io.StringIO())
    with console.file:
        console.print(shown(status))
        return console.export_text()


def test_everything_about_a_session_is_in_one_value() -> None:
    status = status_of(answer())
    assert (status.phase, status.risk_state, status.reasons) == (
        "draining",
        "halt",
        ["daily_drawdown: 0.06 against 0.05"],
    )
    assert (status.equity, status.drawdown, status.net, status.outage_s) == (9_400.0, 0.06, -12.5, 4.0)
    assert (status.orders, status.live_orders, status.open_trips) == ({"filled": 10, "rejected": 1}, 3, 1)
    assert status.missing == ["ensemble"]
    by_name = {line.name: line for line in status.actors}
    assert list(by_name) == sorted(by_name)
    assert (by_name["risk"].restarts, by_name["ledger"].answers, by_name["feed:BTCUSDT"].waiting) == (1, False, 4)
    btc, dydx = status.symbols
    assert (btc.symbol, btc.mode, btc.price_age_s, btc.mid, btc.gaps, btc.risk_state) == (
        "BTCUSDT", "REST", 1.5, 90_000.5, 3, "halt",
    )  # fmt: skip
    assert (dydx.symbol, dydx.mode, dydx.price_age_s, dydx.mid, dydx.risk_state) == (
        "dydx:BTC-USD", "", None, None, "can_trade",
    )  # fmt: skip


def test_a_person_reads_who_is_away_and_why_nothing_is_entered() -> None:
    said = text_of(status_of(answer()))
    for words in (
        "draining  risk halt  equity 9,400.00  drawdown 6.00%  net -12.50",
        "filled 10, rejected 1; 3 alive, 1 trips open",
        "daily_drawdown: 0.06 against 0.05",
        "the ledger has kept nothing for 4 s",
        "not heard of yet: ensemble",
    ):
        assert words in said
    lines = {line.split()[0]: line.split() for line in said.splitlines() if line.strip()}
    assert lines["BTCUSDT"] == ["BTCUSDT", "REST", "2025-11-28", "17:15:00", "1.5", "90000.5", "3", "halt"]
    assert "silent" in lines["ledger"]
    assert "6.0" in lines["feed:dydx:BTC-USD"]


class Answering:
    """Says what a conductor would."""

    async def health(self) -> SystemHealth:
        return msgspec.structs.replace(answer(), is_finished=True)


@pytest.fixture
def answering(local_ray: None) -> Iterator[None]:
    handle: Any = ray.remote(Answering).options(name=CONDUCTOR, namespace=NAMESPACE, lifetime="detached").remote()
    ray.get(handle.health.remote())
    yield
    ray.kill(handle)


def spyhop(*arguments: str) -> subprocess.CompletedProcess[str]:
    root = str(Path(launch.__file__).parent.parent)
    return subprocess.run(
        [sys.executable, "-m", "cluster.cli", *arguments],
        capture_output=True,
        text=True,
        timeout=60,
        env=os.environ | {"PYTHONPATH": root},
        check=False,
    )


@pytest.mark.ray
@pytest.mark.slow
def test_a_running_session_is_asked_from_another_process(answering: None) -> None:
    address = ray.get_runtime_context().gcs_address
    once = spyhop("status", "--address", address, "--json")
    assert once.returncode == 0, once.stderr
    assert json.loads(once.stdout)["symbols"][0]["symbol"] == "BTCUSDT"
    # it has finished, so there is nothing to wait for
    watched = spyhop("status", "--address", address, "--watch", "--json")
    assert [json.loads(line)["phase"] for line in watched.stdout.splitlines()] == ["finished"]


@pytest.mark.ray
@pytest.mark.slow
def test_a_ray_without_a_session_is_one_sentence_and_a_two(local_ray: None) -> None:
    address = ray.get_runtime_context().gcs_address
    refused = spyhop("status", "--address", address)
    assert (refused.returncode, refused.stdout) == (2, "")
    assert refused.stderr == f"spyhop: no session runs on the Ray at {address}\n"
