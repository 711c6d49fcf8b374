"""Events of Binance's private streams as reports: recorded and documented frames, and a simulator's whole life."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from decimal import Decimal
from pathlib import Path
from typing import Any

import msgspec
import pytest

from spyhop.errors import UnreadableLine
from spyhop.model.instruments import Instrument
from spyhop.model.orders import (
    Fill,
    FundingPaid,
    Liquidated,
    Liquidity,
    OrderAccepted,
    OrderCancelled,
    OrderExpired,
    OrderRejected,
    OrderStatus,
)
from spyhop.model.tape import Side, Venue
from spyhop.venues.binance.account_wire import account_event
from spyhop.venues.binance.private import SpotPrivate, UsdmPrivate
from spyhop.venues.binance.reports import BinanceReports
from spyhop.venues.ccxt.trader import binance_trader
from spyhop.venues.live.private import Connected, Lost
from spyhop.venues.net.https import HttpClient
from spyhop.venues.params import FeedParams

NOW = 7
MS = 1_000_000


def listed(symbol: str, tick: str, lot: str, number: int, venue: Venue = Venue.BINANCE_USDM) -> Instrument:
    return Instrument(
        id=number,
        venue=venue,
        symbol=symbol,
        tick_size=Decimal(tick),
        lot_size=Decimal(lot),
        base=symbol.removesuffix("USDT"),
    )


USDM = [
    listed("BTCUSDT", "0.01", "0.001", 3),
    listed("ETHUSDT", "0.01", "0.001", 4),
    listed("BNBUSDT", "0.01", "0.01", 5),
    listed("DOGEUSDT", "0.00001", "1", 6),
]
SPOT = [
    listed("BTCUSDT", "0.01", "0.00001", 3, Venue.BINANCE_SPOT),
    listed("ETHUSDT", "0.01", "0.0001", 4, Venue.BINANCE_SPOT),
]


def reader(instruments: list[Instrument] = USDM, **about: Any) -> BinanceReports:
    return BinanceReports(instruments, lambda name: not name.startswith("web_"), **about)


def futures(**changes: Any) -> bytes:
    """The document's order update, with changes."""
    order = {"s": "BTCUSDT", "c": "TEST", "S": "BUY", "o": "LIMIT", "f": "GTC", "q": "0.003", "p": "7100.50"}
    order |= {"ap": "0", "sp": "0", "x": "NEW", "X": "NEW", "i": 8886774, "l": "0", "z": "0", "L": "0", "N": "USDT"}
    order |= {"n": "0", "T": 1568879465651, "t": 0, "m": False, "R": False, "ps": "BOTH", "rp": "0"}
    told = {"e": "ORDER_TRADE_UPDATE", "T": 1568879465651, "E": 1568879465652, "o": order | changes}
    return msgspec.json.encode(told)


def conditional(**changes: Any) -> bytes:
    """The life of a conditional order, as it was recorded in December 2025."""
    order = {"caid": "O-1", "aid": 1000000033225453, "at": "CONDITIONAL", "o": "STOP_MARKET", "s": "DOGEUSDT"}
    order |= {"S": "BUY", "ps": "BOTH", "f": "GTC", "q": "38", "X": "NEW", "ai": "", "tp": "0.13855", "p": "0"}
    told = {"e": "ALGO_UPDATE", "T": 1765431097030, "E": 1765431097037, "o": order | changes}
    return msgspec.json.encode(told)


def read(reports: BinanceReports, frame: bytes) -> tuple[list[Any], list[Any]]:
    told = reports.read(NOW, account_event(frame))
    return list(told.reports), list(told.foreign)


ABOUT = {"ts": NOW, "ts_venue": 1568879465651 * MS, "client_order_id": "TEST", "instrument": 3}


@pytest.mark.parametrize(
    ("changes", "report"),
    [
        ({}, OrderAccepted(**ABOUT)),
        ({"x": "CANCELED", "X": "CANCELED", "z": "0.001"}, OrderCancelled(**ABOUT, lots_left=2)),
        ({"x": "EXPIRED", "X": "EXPIRED", "z": "0.002", "f": "IOC"}, OrderExpired(**ABOUT, lots_left=1)),
        ({"x": "EXPIRED", "X": "EXPIRED_IN_MATCH"}, OrderExpired(**ABOUT, lots_left=3)),
        ({"x": "REJECTED", "X": "REJECTED"}, OrderRejected(**ABOUT, reason="refused by the venue")),
        ({"x": "AMENDMENT", "X": "NEW"}, None),
    ],
)
def test_what_happens_to_an_order_of_futures(changes: dict[str, Any], report: Any) -> None:
    assert read(reader(), futures(**changes)) == ([report] if report else [], [])


def test_a_fill_of_the_document() -> None:
    (fill,), foreign = read(
        reader(),
        futures(x="TRADE", X="PARTIALLY_FILLED", l="0.001", z="0.001", L="7100.50", n="0.01000000", t=12345678, m=True),
    )
    assert foreign == []
    assert fill == Fill(
        **ABOUT,
        fill_id="12345678",
        side=Side.BUY,
        price=710_050,
        lots=1,
        liquidity=Liquidity.MAKER,
        fee=0.01,
        slippage=0.0,
    )


def test_orders_of_others_are_told_apart() -> None:
    reports, (foreign,) = read(reader(), futures(c="web_1", x="TRADE", X="PARTIALLY_FILLED", l="0.001", z="0.001", t=5))
    assert reports == []
    assert (foreign.client_order_id, foreign.venue_order_id, foreign.status) == (
        "",
        "8886774",
        OrderStatus.PARTIALLY_FILLED,
    )
    assert (foreign.lots, foreign.filled, foreign.price) == (3, 1, 710_050)
    reports, (foreign,) = read(reader(), conditional(caid="web_2"))
    assert reports == []
    assert (foreign.client_order_id, foreign.trigger, foreign.lots) == ("", 13_855, 38)


def test_instruments_that_nobody_trades_are_nobodys() -> None:
    assert read(reader([USDM[1]]), futures()) == ([], [])
    assert read(reader([USDM[1]]), conditional()) == ([], [])


def test_a_conditional_order_keeps_its_name_in_what_it_becomes() -> None:
    reports = reader()
    assert [type(one) for one in read(reports, conditional())[0]] == [OrderAccepted]
    assert read(reports, conditional(X="TRIGGERING")) == ([], [])
    assert read(reports, conditional(X="TRIGGERED", ai="88937381063")) == ([], [])
    of_the_book = {"s": "DOGEUSDT", "c": "made-by-the-venue", "i": 88937381063, "q": "38", "p": "0", "o": "MARKET"}
    assert read(reports, futures(**of_the_book)) == ([], [])  # accepted it was before
    (fill,), _ = read(
        reports, futures(**of_the_book, x="TRADE", X="FILLED", l="38", z="38", L="0.13856", t=9, n="0.0026")
    )
    assert (fill.client_order_id, fill.lots, fill.price, fill.instrument) == ("O-1", 38, 13_856, 6)
    assert read(reports, conditional(X="FINISHED", ai="88937381063")) == ([], [])


@pytest.mark.parametrize(
    ("status", "kind"), [("CANCELED", OrderCancelled), ("EXPIRED", OrderExpired), ("REJECTED", OrderExpired)]
)
def test_a_conditional_order_that_never_became_one(status: str, kind: type) -> None:
    ((report,), _) = read(reader(), conditional(X=status, rm="ReduceOnly reject"))
    assert type(report) is kind
    assert (report.client_order_id, report.lots_left) == ("O-1", 38)


FOLDER = Path("wire") / "nautilus_trader" / "crates" / "adapters" / "binance" / "test_data"


@pytest.mark.parametrize(
    ("name", "liquidated"),
    [
        ("calculated", (Side.BUY, 991_012, 14, 0.06937084 + 5.67)),
        ("adl", (Side.SELL, 4_200_000, 5, 0.105 + 2.5)),
        ("insurance", (Side.BUY, 4_500_000, 20, 0.45 + 8.0)),
        ("settlement", (Side.BUY, 5_000_000, 10, 0.25 + 10.0)),
        ("calculated_pending", None),
    ],
)
def test_what_the_venue_closes_by_itself(recordings: Path, name: str, liquidated: Any) -> None:
    frame = (recordings / FOLDER / "futures" / "user_data_json" / f"order_update_{name}.json").read_bytes()
    reports, foreign = read(reader(), frame)
    assert foreign == []
    assert [(one.side, one.price, one.lots, one.loss) for one in reports] == ([liquidated] if liquidated else [])
    assert all(type(one) is Liquidated for one in reports)


@pytest.mark.parametrize(
    ("name", "kinds"),
    [
        ("new", [OrderAccepted]),
        ("canceled", [OrderCancelled]),
        ("expired", [OrderExpired]),
        ("trade", [Fill]),
    ],
)
def test_documented_reports_of_spot(recordings: Path, name: str, kinds: list[type]) -> None:
    frame = (recordings / FOLDER / "spot" / "user_data_json" / f"execution_report_{name}.json").read_bytes()
    reports, foreign = read(reader(SPOT), frame)
    assert [type(one) for one in reports] == kinds
    assert foreign == []
    assert reports[0].client_order_id == "x-TD67BGP9-T0000000000000"
    if name == "trade":  # 0.001 ETH at 2500 is what was paid
        assert (reports[0].price, reports[0].lots, reports[0].fee) == (250_000, 10_000, 2.5)
        assert (reports[0].liquidity, reports[0].fill_id) == (Liquidity.MAKER, "98765432")


SPOT_REAL = (
    b'{"subscriptionId":0,"event":{"e":"executionReport","E":1786522906946,"s":"BTCUSDT","c":"one","S":"BUY",'
    b'"o":"MARKET","f":"GTC","q":"0.00020000","p":"0.00000000","P":"0.00000000","F":"0.00000000","g":-1,"C":"",'
    b'"x":"TRADE","X":"FILLED","r":"NONE","i":55945750590,"l":"0.00020000","z":"0.00020000","L":"63817.61000000",'
    b'"n":"0.00001563","N":"BNB","T":1786522906946,"t":276374166,"m":false,"Z":"12.76352200"}}'
)


def test_a_fee_in_another_coin_is_never_nothing() -> None:
    (fill,), _ = read(
        reader(SPOT, price_of=lambda asset, quote: 600.0 if asset + quote == "BNBUSDT" else None), SPOT_REAL
    )
    assert fill.fee == pytest.approx(0.00001563 * 600.0)
    (fill,), _ = read(reader(SPOT), SPOT_REAL)
    assert fill.fee == pytest.approx(12.763522 * 0.001)


def test_a_cancel_of_spot_is_told_under_the_name_of_the_order() -> None:
    frame = SPOT_REAL.replace(b'"x":"TRADE","X":"FILLED"', b'"x":"CANCELED","X":"CANCELED"').replace(
        b'"C":""', b'"C":"the-order"'
    )
    (report,), _ = read(reader(SPOT), frame)
    assert (type(report), report.client_order_id) == (OrderCancelled, "the-order")


def test_spot_says_why_it_refuses() -> None:
    frame = SPOT_REAL.replace(b'"x":"TRADE","X":"FILLED","r":"NONE"', b'"x":"REJECTED","X":"REJECTED","r":"GTX_REJECT"')
    (report,), _ = read(reader(SPOT), frame)
    assert report == OrderRejected(
        ts=NOW, ts_venue=1786522906946 * MS, client_order_id="one", instrument=3, reason="GTX_REJECT"
    )


def funding(change: str, *positions: tuple[str, str, str, str]) -> bytes:
    held = [
        {"s": s, "pa": pa, "ep": ep, "bep": ep, "cr": "0", "up": up, "mt": "isolated", "iw": "9", "ps": "BOTH"}
        for s, pa, ep, up in positions
    ]
    account = {"m": "FUNDING_FEE", "B": [{"a": "USDT", "wb": "9", "cw": "9", "bc": change}], "P": held}
    return msgspec.json.encode({"e": "ACCOUNT_UPDATE", "T": 5, "E": 6, "a": account})


def test_funding_is_paid_by_the_position_that_it_names() -> None:
    # long 2 at 100, the mark is 110: 0.01% of 220 is paid
    ((paid,), _) = read(reader(), funding("-0.022", ("BTCUSDT", "2.000", "100", "20")))
    assert paid == FundingPaid(
        ts=NOW, ts_venue=5 * MS, instrument=3, rate=pytest.approx(1e-4), lots=2_000, amount=pytest.approx(0.022)
    )
    # short 2 at 100, the mark is 90: the same rate is received
    ((got,), _) = read(reader(), funding("0.018", ("BTCUSDT", "-2.000", "100", "20")))
    assert (got.lots, got.amount, got.rate) == (-2_000, pytest.approx(-0.018), pytest.approx(1e-4))


def test_funding_of_several_positions_is_shared_out_by_value() -> None:
    frame = funding("-4", ("BTCUSDT", "1.000", "300", "0"), ("ETHUSDT", "2.000", "50", "0"), ("NOT", "0", "1", "0"))
    paid, _ = read(reader(), frame)
    assert [(one.instrument, one.amount) for one in paid] == [(3, pytest.approx(3.0)), (4, pytest.approx(1.0))]


def test_funding_without_a_position_is_left_to_the_balances() -> None:
    assert read(reader(), funding("-4")) == ([], [])
    assert read(reader(), funding("-4").replace(b"FUNDING_FEE", b"DEPOSIT")) == ([], [])


def test_an_amount_off_the_grid_is_not_rounded() -> None:
    with pytest.raises(UnreadableLine, match="multiple"):
        read(reader(), futures(q="0.0015"))


@pytest.mark.slow
def test_the_stream_of_a_simulator_tells_what_its_rest_knows(simulated: Callable[..., Any]) -> None:
    async def go() -> None:
        async with simulated() as sim:
            mine = [one for one in sim.floor.exchange.instruments if one.venue is Venue.BINANCE_USDM]
            trader = binance_trader(
                Venue.BINANCE_USDM,
                sim.endpoints,
                sim.key.key,
                sim.key.secret,
                mine,
                sim.clock,
                is_ours=lambda name: True,
            )
            http = HttpClient(sim.clock, headers={"X-MBX-APIKEY": sim.key.key})
            try:
                since = sim.clock.now_ns()
                async with sim.listen(UsdmPrivate(sim.endpoints.binance_usdm, http, FeedParams())) as heard:
                    await heard.until(lambda event: isinstance(event, Connected))
                    bid = sim.top(0)[0] // 100 * 99
                    about = {"symbol": "BTCUSDT", "side": "BUY", "quantity": "0.500"}
                    limit = {"type": "LIMIT", "timeInForce": "GTC", "price": bid, "newClientOrderId": "rests"}
                    await sim.call("POST", "/fapi/v1/order", **about, **limit)
                    await sim.call("DELETE", "/fapi/v1/order", symbol="BTCUSDT", origClientOrderId="rests")
                    await sim.call("POST", "/fapi/v1/order", **about, type="MARKET", newClientOrderId="takes")
                    stop = {"algoType": "CONDITIONAL", "type": "STOP_MARKET", "triggerPrice": bid}
                    stop |= {"clientAlgoId": "stop", "side": "SELL"}
                    await sim.call("POST", "/fapi/v1/algoOrder", **{**about, **stop})
                    await sim.call("DELETE", "/fapi/v1/algoOrder", symbol="BTCUSDT", clientAlgoId="stop")
                    await heard.until(lambda event: getattr(getattr(event, "order", None), "status", "") == "CANCELED")
                    await heard.until(
                        lambda event: type(event).__name__ == "AlgoUpdate" and event.order.status == "CANCELED"
                    )
                    fills = await trader.fills(mine[0].id, since)
                reports = BinanceReports(mine, lambda name: True)
                events = [told for told in heard.told if not isinstance(told.event, Connected | Lost)]
                said = [report for told in events for report in reports.read(told.ts_recv, told.event).reports]
            finally:
                await trader.close()
                await http.close()
            others = [(type(one).__name__, one.client_order_id) for one in said if not isinstance(one, Fill)]
            assert others == [
                ("OrderAccepted", "rests"),
                ("OrderCancelled", "rests"),
                ("OrderAccepted", "takes"),
                ("OrderAccepted", "stop"),
                ("OrderCancelled", "stop"),
            ]
            filled = [one for one in said if isinstance(one, Fill)]
            assert [(one.fill_id, one.price, one.lots, one.fee, one.client_order_id) for one in filled] == [
                (one.fill_id, one.price, one.lots, one.fee, one.client_order_id) for one in fills
            ]
            assert sum(one.lots for one in filled) == 500

    asyncio.run(go())


@pytest.mark.slow
def test_a_stop_that_is_triggered_is_accepted_once_and_filled_under_its_name(simulated: Callable[..., Any]) -> None:
    async def go() -> None:
        async with simulated(speed=20.0) as sim:
            mine = [one for one in sim.floor.exchange.instruments if one.venue is Venue.BINANCE_USDM]
            http = HttpClient(sim.clock, headers={"X-MBX-APIKEY": sim.key.key})
            try:
                async with sim.listen(UsdmPrivate(sim.endpoints.binance_usdm, http, FeedParams())) as heard:
                    await heard.until(lambda event: isinstance(event, Connected))
                    bid, ask = sim.top(0)
                    about = {"symbol": "BTCUSDT", "quantity": "0.100", "algoType": "CONDITIONAL", "type": "STOP_MARKET"}
                    for name, side, trigger in (("up", "BUY", ask + 30), ("down", "SELL", bid - 30)):
                        asked = {"clientAlgoId": name, "side": side, "triggerPrice": trigger}
                        await sim.call("POST", "/fapi/v1/algoOrder", **about, **asked)
                    await heard.until(
                        lambda event: type(event).__name__ == "AlgoUpdate" and event.order.status == "FINISHED", 30.0
                    )
            finally:
                await http.close()
            reports = BinanceReports(mine, lambda name: True)
            events = [told for told in heard.told if not isinstance(told.event, Connected | Lost)]
            said = [report for told in events for report in reports.read(told.ts_recv, told.event).reports]
            accepted = [one.client_order_id for one in said if isinstance(one, OrderAccepted)]
            assert accepted == ["up", "down"]
            filled = [one for one in said if isinstance(one, Fill)]
            (name,) = {one.client_order_id for one in filled}
            assert {one.side for one in filled} == {Side.BUY if name == "up" else Side.SELL}
            assert sum(one.lots for one in filled) == 100
            assert len(said) == 2 + len(filled)

    asyncio.run(go())


@pytest.mark.slow
def test_the_stream_of_spot_tells_what_its_rest_knows(simulated: Callable[..., Any]) -> None:
    async def go() -> None:
        async with simulated() as sim:
            (one,) = [one for one in sim.floor.exchange.instruments if one.venue is Venue.BINANCE_SPOT]
            key, ends = sim.key, sim.endpoints
            trader = binance_trader(
                Venue.BINANCE_SPOT, ends, key.key, key.secret, [one], sim.clock, is_ours=lambda name: True
            )
            adapter = SpotPrivate(ends.binance_spot, key.key, key.secret, FeedParams())
            try:
                since = sim.clock.now_ns()
                async with sim.listen(adapter) as heard:
                    await heard.until(lambda event: isinstance(event, Connected))
                    about = {"symbol": "BTCUSDT", "side": "BUY", "quantity": "0.50000"}
                    limit = {"type": "LIMIT", "timeInForce": "GTC", "price": sim.top(one.id)[0] // 100 * 99}
                    await sim.call("POST", "/api/v3/order", **about, **limit, newClientOrderId="rests")
                    await sim.call("DELETE", "/api/v3/order", symbol="BTCUSDT", origClientOrderId="rests")
                    await sim.call("POST", "/api/v3/order", **about, type="MARKET", newClientOrderId="takes")
                    await heard.until(lambda event: getattr(event, "status", "") == "FILLED")
                    fills = await trader.fills(one.id, since)
            finally:
                await trader.close()
            reports = BinanceReports([one], lambda name: True)
            events = [told for told in heard.told if not isinstance(told.event, Connected | Lost)]
            said = [report for told in events for report in reports.read(told.ts_recv, told.event).reports]
            others = [(type(one).__name__, one.client_order_id) for one in said if not isinstance(one, Fill)]
            assert others == [("OrderAccepted", "rests"), ("OrderCancelled", "rests"), ("OrderAccepted", "takes")]
            assert [(one.fill_id, one.price, one.lots, one.fee) for one in said if isinstance(one, Fill)] == [
                (one.fill_id, one.price, one.lots, one.fee) for one in fills
            ]
            assert sum(one.lots for one in fills) == 50_000

    asyncio.run(go())
