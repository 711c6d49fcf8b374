from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from spyhop.clock import NS_PER_MINUTE
from spyhop.errors import ConnectionLost, VenueRefused
from spyhop.venues.binance.account_wire import AccountUpdate, OrderTradeUpdate, TradeLite, account_event
from spyhop.venues.binance.private import SpotPrivate, UsdmPrivate, identity
from spyhop.venues.binance.spot_wire import AccountPosition, ExecutionReport
from spyhop.venues.live.private import Connected, Lost
from spyhop.venues.live.private_adapter import PrivateConnection
from spyhop.venues.live.scripted import ScriptedSocket
from spyhop.venues.net import sockets
from spyhop.venues.net.https import HttpClient
from spyhop.venues.net.transport import Frame
from spyhop.venues.params import FeedParams

BTC = {"symbol": "BTCUSDT"}
ATTENTIVE = FeedParams(silence_seconds=1.0, first_message_seconds=1.0, ws_backoff_min=0.05, ws_backoff_max=0.5)
REPORT = msgspec.json.decode(
    b'{"e":"executionReport","E":2,"s":"BTCUSDT","c":"one","S":"BUY","o":"LIMIT","f":"GTC","q":"1","p":"5","x":"TRADE",'
    b'"X":"FILLED","r":"NONE","i":7,"l":"1","z":"1","L":"5","n":"0","N":null,"T":1,"t":9,"m":false,"Z":"5"}'
)


@asynccontextmanager
async def usdm(sim: Any, params: FeedParams = ATTENTIVE, **about: Any) -> AsyncIterator[Any]:
    http = HttpClient(sim.clock, headers={"X-MBX-APIKEY": sim.key.key})
    try:
        async with sim.listen(UsdmPrivate(sim.endpoints.binance_usdm, http, params), params, **about) as listener:
            yield listener
    finally:
        await http.close()


@asynccontextmanager
async def spot(sim: Any, params: FeedParams = ATTENTIVE, **about: Any) -> AsyncIterator[Any]:
    adapter = SpotPrivate(sim.endpoints.binance_spot, sim.key.key, sim.key.secret, params)
    async with sim.listen(adapter, params, **about) as listener:
        yield listener


def play(simulated: Any, scene: Callable[[Any], Awaitable[None]], **about: Any) -> None:
    async def go() -> None:
        async with simulated(**about) as sim:
            await scene(sim)

    asyncio.run(go())


def connected(event: object) -> bool:
    return isinstance(event, Connected)


def order_of(client_id: str, execution: str) -> Callable[[object], bool]:
    """Say whether an event is that of an order."""

    def is_it(event: object) -> bool:
        told = event.order if isinstance(event, OrderTradeUpdate) else event
        return getattr(told, "client_order_id", "") == client_id and getattr(told, "execution", "") == execution

    return is_it


def told(events: Sequence[Any]) -> list[str]:
    words = []
    for event in events:
        update = event.order if isinstance(event, OrderTradeUpdate) else event
        words.append(f"{type(event).__name__} {getattr(update, 'execution', '')}".strip())
    return words


async def rest_order(sim: Any, client_id: str, path: str = "/fapi/v1/order") -> None:
    """Place a bid that is not filled."""
    price = sim.top(0)[0] // 100 * 99
    about = {"side": "BUY", "type": "LIMIT", "timeInForce": "GTC", "quantity": "0.010", "price": price}
    await sim.call("POST", path, **BTC, **about, newClientOrderId=client_id)


async def take_order(sim: Any, client_id: str, path: str = "/fapi/v1/order") -> Any:
    """Buy what is there."""
    about = {"side": "BUY", "type": "MARKET", "quantity": "0.001", "newOrderRespType": "RESULT"}
    return await sim.call("POST", path, **BTC, **about, newClientOrderId=client_id)


@pytest.mark.slow
def test_placed_cancelled_and_filled_futures_orders_are_told_once_in_order(simulated: Any) -> None:
    async def scene(sim: Any) -> None:
        async with usdm(sim) as heard:
            await heard.until(connected)
            await rest_order(sim, "rests")
            await sim.call("DELETE", "/fapi/v1/order", **BTC, origClientOrderId="rests")
            bought = await take_order(sim, "takes")
            await sim.call("POST", "/fapi/v1/leverage", **BTC, leverage=7)
            await heard.until(lambda event: type(event).__name__ == "ConfigUpdate")
            assert told(heard.events) == [
                *("OrderTradeUpdate NEW", "OrderTradeUpdate CANCELED", "OrderTradeUpdate NEW"),
                *("TradeLite", "AccountUpdate", "OrderTradeUpdate TRADE", "ConfigUpdate"),
            ]
            lite, account, filled, change = heard.events[3:]
            assert isinstance(lite, TradeLite)
            assert isinstance(account, AccountUpdate)
            assert (filled.order.client_order_id, filled.order.status) == ("takes", "FILLED")
            assert filled.order.order_id == lite.order_id == bought["orderId"]
            assert str(account.account.positions[0].qty) == "0.001"
            assert change.leverage.leverage == 7
            assert heard.breaks == [Connected(1)]
            assert heard.about["set_aside"] == 0.0
            times = [one.ts_recv for one in heard.told]
            assert times == sorted(times)

    play(simulated, scene)


@pytest.mark.slow
def test_placed_cancelled_and_filled_spot_orders_are_told_once_in_order(simulated: Any) -> None:
    async def scene(sim: Any) -> None:
        async with spot(sim) as heard:
            await heard.until(connected)
            await rest_order(sim, "rests", "/api/v3/order")
            await sim.call("DELETE", "/api/v3/order", **BTC, origClientOrderId="rests")
            await take_order(sim, "takes", "/api/v3/order")
            await heard.until(order_of("takes", "TRADE"))
            await heard.until(lambda event: isinstance(event, AccountPosition))
            reports = [event for event in heard.events if isinstance(event, ExecutionReport)]
            assert told(reports) == [f"ExecutionReport {x}" for x in ("NEW", "CANCELED", "NEW", "TRADE")]
            assert reports[0].client_order_id == reports[1].original_id == "rests"
            assert reports[3].trade_id > 0
            assert heard.breaks == [Connected(1)]
            assert heard.about["set_aside"] == 0.0

    play(simulated, scene)


@pytest.mark.slow
def test_a_key_that_expires_is_told_as_a_loss_and_a_new_one_is_had(simulated: Any) -> None:
    async def scene(sim: Any) -> None:
        async with usdm(sim) as heard:
            await heard.until(connected)
            sim.fault("listen_key_expiry", count=1)
            lost = await heard.until(lambda event: isinstance(event, Lost))
            assert lost.reason.endswith("the listen key has expired")
            await heard.until(connected)
            await take_order(sim, "after")
            await heard.until(order_of("after", "TRADE"))
            assert [type(event) for event in heard.breaks] == [Connected, Lost, Connected]

    play(simulated, scene)


@pytest.mark.slow
def test_a_key_is_prolonged_every_half_hour_and_one_that_is_gone_ends_the_connection(simulated: Any) -> None:
    async def scene(sim: Any) -> None:
        http = HttpClient(sim.clock, headers={"X-MBX-APIKEY": sim.key.key})
        adapter = UsdmPrivate(sim.endpoints.binance_usdm, http, FeedParams())
        now = sim.clock.now_ns()
        connection = await adapter.join(sockets.connect(sim.clock), now)
        try:
            keys = sim.floor.fronts[0].listen_keys
            (made,) = keys._by_account.values()
            await connection.keep(now + 29 * NS_PER_MINUTE)
            assert list(keys._by_account.values()) == [made]
            await connection.keep(now + 30 * NS_PER_MINUTE)
            ((key, until),) = keys._by_account.values()
            assert key == made[0]
            assert until > made[1]
            ts_kept = now + 30 * NS_PER_MINUTE
            await connection.keep(ts_kept + 29 * NS_PER_MINUTE)
            assert list(keys._by_account.values()) == [(key, until)]
            await sim.call("DELETE", "/fapi/v1/listenKey")
            with pytest.raises(ConnectionLost, match="the listen key is gone"):
                await connection.keep(ts_kept + 30 * NS_PER_MINUTE)
            await sim.call("POST", "/fapi/v1/listenKey")
            with pytest.raises(ConnectionLost, match="no longer the account's") as lost:
                await connection.keep(ts_kept + 30 * NS_PER_MINUTE)
            assert key not in repr(lost.value)
        finally:
            await connection.socket.close()
            await http.close()

    play(simulated, scene)


@pytest.mark.slow
@pytest.mark.parametrize("market", [usdm, spot])
@pytest.mark.parametrize("kind", ["drop", "stall", "day_close"])
def test_a_connection_that_breaks_or_is_mute_is_opened_anew(simulated: Any, market: Any, kind: str) -> None:
    async def scene(sim: Any) -> None:
        path = "/fapi/v1/order" if market is usdm else "/api/v3/order"
        async with market(sim) as heard:
            await heard.until(connected)
            sim.fault(kind, **({"duration_s": 1.5} if kind == "stall" else {"count": 1}))
            await heard.until(lambda event: isinstance(event, Lost))
            await heard.until(connected)
            await take_order(sim, "after", path)
            await heard.until(order_of("after", "TRADE"))
            assert heard.about["mute"] == (1.0 if kind == "stall" else 0.0)
            reasons = [event.reason for event in heard.breaks if isinstance(event, Lost)]
            expected = {"drop": "1006", "stall": "silent", "day_close": "serverShutdown" if market is spot else "24h"}
            assert expected[kind] in reasons[0]

    play(simulated, scene)


@pytest.mark.slow
@pytest.mark.parametrize("market", [usdm, spot])
def test_an_account_where_nothing_happens_is_not_lost(simulated: Any, market: Any) -> None:
    async def scene(sim: Any) -> None:
        async with market(sim) as heard:
            await heard.becomes("frames", 6.0)  # answers, three in each time that a connection may be silent
            assert heard.about["losses"] == 0.0
            await heard.until(connected)
            assert heard.breaks == [Connected(1)]

    play(simulated, scene)


@pytest.mark.slow
def test_nothing_is_lost_for_a_reader_that_sleeps(simulated: Any) -> None:
    async def scene(sim: Any) -> None:
        async with usdm(sim, max_events=5) as heard:
            await heard.becomes("connected", 1.0)
            for number in range(40):
                await rest_order(sim, f"order-{number}")
            await heard.becomes("queued", 5.0)
            await asyncio.sleep(2.0)  # longer than a connection may be silent
            assert heard.about["queued"] < 40.0
            await heard.until(order_of("order-39", "NEW"))
            assert [event.order.client_order_id for event in heard.events] == [f"order-{n}" for n in range(40)]
            assert heard.breaks == [Connected(1)]

    play(simulated, scene)


@pytest.mark.slow
@pytest.mark.parametrize("market", [usdm, spot])
def test_fills_at_a_planned_change_come_once(simulated: Any, market: Any) -> None:
    async def scene(sim: Any) -> None:
        path = "/fapi/v1/order" if market is usdm else "/api/v3/order"
        params = FeedParams(rollover_hours=20.0 / 3_600.0)
        async with market(sim, params) as heard:
            await heard.becomes("connected", 1.0)
            number = 0
            async with asyncio.timeout(30):
                while heard.about["rollovers"] < 2.0:
                    await take_order(sim, f"order-{number}", path)
                    number += 1
                    await asyncio.sleep(0.05)
            await take_order(sim, "last", path)
            await heard.until(order_of("last", "TRADE"))
            kind = OrderTradeUpdate if market is usdm else ExecutionReport
            updates = [getattr(event, "order", event) for event in heard.events if isinstance(event, kind)]
            placed = [update.client_order_id for update in updates if update.execution == "NEW"]
            assert placed == [*(f"order-{n}" for n in range(number)), "last"]
            fills = [update.trade_id for update in updates if update.execution == "TRADE"]
            assert len(fills) == len(set(fills)) >= number + 1
            assert heard.about["repeats"] > 0.0
            assert heard.breaks == [Connected(1)]

    play(simulated, scene, speed=10.0)


@pytest.mark.slow
def test_frames_that_come_twice_are_told_once(simulated: Any) -> None:
    async def scene(sim: Any) -> None:
        async with usdm(sim) as heard:
            await heard.until(connected)
            sim.fault("repeat", target="userData")
            await take_order(sim, "takes")
            await heard.until(order_of("takes", "TRADE"))
            assert told(heard.events) == [
                *("OrderTradeUpdate NEW", "TradeLite", "AccountUpdate", "OrderTradeUpdate TRADE")
            ]
            await heard.becomes("repeats", 4.0)

    play(simulated, scene)


@pytest.mark.slow
def test_a_wrong_key_is_refused(simulated: Any) -> None:
    async def scene(sim: Any) -> None:
        http = HttpClient(sim.clock, headers={"X-MBX-APIKEY": "somebody-else"})
        adapter = UsdmPrivate(sim.endpoints.binance_usdm, http, FeedParams())
        try:
            with pytest.raises(VenueRefused) as refused:
                await sim.stream(adapter).run()
        finally:
            await http.close()
        assert refused.value.code == -2015
        assert "somebody-else" not in str(refused.value) + repr(refused.value)

    play(simulated, scene)


@pytest.mark.slow
def test_a_wrong_secret_is_refused_and_shown_nowhere(simulated: Any, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("DEBUG")

    async def scene(sim: Any) -> None:
        adapter = SpotPrivate(sim.endpoints.binance_spot, sim.key.key, "hidden-secret", FeedParams())
        assert sim.key.key not in repr(adapter)
        with pytest.raises(VenueRefused) as refused:
            await sim.stream(adapter).run()
        assert refused.value.code == -1022
        shown = repr(adapter) + str(refused.value) + repr(refused.value) + caplog.text
        assert "hidden-secret" not in shown
        assert sim.key.key not in shown

    play(simulated, scene)


@pytest.mark.slow
def test_spot_signs_the_venues_time(simulated: Any) -> None:
    async def scene(sim: Any) -> None:
        sim.fault("clock_skew", offset_ms=90_000.0)
        async with spot(sim) as heard:
            await heard.until(connected)

    play(simulated, scene)


def connections() -> list[PrivateConnection[Any]]:
    """A connection of each market on which nothing was heard yet."""

    async def made() -> list[PrivateConnection[Any]]:
        from spyhop.venues.binance.private import ListenKeys, _SpotConnection, _UsdmConnection

        keys: Any = ListenKeys
        socket = ScriptedSocket("u")
        return [_UsdmConnection(socket, "usdm", keys, "k" * 64, 0), _SpotConnection(socket, "spot")]

    return asyncio.run(made())


def framed(*bodies: object) -> list[Frame]:
    return [Frame(n, body if isinstance(body, bytes) else msgspec.json.encode(body)) for n, body in enumerate(bodies)]


def test_answers_are_ignored_and_strangers_set_aside() -> None:
    for connection in connections():
        heard = connection.decode(framed(
            {"result": ["x"], "id": 1}, {"result": None, "id": 2}, {"id": 3, "status": 200, "result": {}},
            {"error": {"code": 2, "msg": "no"}, "id": 4}, {"e": "STRATEGY_UPDATE", "E": 1}, b"{", b"[]", {"x": 1},
        ))  # fmt: skip
        assert heard.ignored == {"answer": 3, "error 2": 1}
        assert [frame for _, frame in heard.set_aside] == [b'{"e":"STRATEGY_UPDATE","E":1}', b"{", b"[]", b'{"x":1}']
        assert all(reason for reason, _ in heard.set_aside)
        assert heard.events == []
        assert heard.end is None


@pytest.mark.parametrize("body", [
    {"e": "ORDER_TRADE_UPDATE", "E": 1, "T": 1, "o": {"s": "BTCUSDT"}},
    {"subscriptionId": 0, "event": {"e": "executionReport", "E": 1}},
    {**REPORT, "l": "NaN"},
])  # fmt: skip
def test_an_event_of_the_account_that_cannot_be_read_ends_the_connection(body: dict[str, object]) -> None:
    for connection in connections():
        heard = connection.decode(framed({**REPORT, "t": 1}, body))
        assert len(heard.events) == 1
        assert len(heard.set_aside) == 1
        assert "cannot be read" in str(heard.end)


@pytest.mark.parametrize(("body", "is_over"), [
    ({"e": "listenKeyExpired", "E": 1, "listenKey": "k" * 64}, True),
    ({"e": "listenKeyExpired", "E": 1}, True),
    ({"e": "listenKeyExpired", "E": 1, "listenKey": "another's"}, False),
    ({"e": "serverShutdown", "E": 1}, True),
    ({"event": {"e": "serverShutdown", "E": 1}}, True),
    ({"subscriptionId": 0, "event": {"e": "eventStreamTerminated", "E": 1}}, True),
])  # fmt: skip
def test_farewells(body: dict[str, object], *, is_over: bool) -> None:
    heard = connections()[0].decode(framed(body))
    assert (heard.end is not None) == is_over
    assert heard.events == []
    assert "k" * 64 not in repr(heard.end)


def test_events_are_told_apart_by_what_they_say() -> None:
    def event(**changes: object) -> Any:
        return account_event(msgspec.json.encode({**REPORT, **changes}))

    fill = identity(event())
    assert fill == identity(event(E=5, T=6, n="1"))
    for changes in ({"t": 10}, {"s": "ETHUSDT"}, {"i": 8}):
        assert identity(event(**changes)) != fill
    new = {"t": -1, "x": "NEW", "X": "NEW", "z": "0"}
    assert identity(event(**new)) == identity(event(**new, E=99))
    for changes in ({"i": 8}, {"T": 2}, {"x": "CANCELED"}, {"X": "CANCELED"}, {"q": "2"}, {"p": "6"}, {"z": "0.5"}):
        assert identity(event(**{**new, **changes})) != identity(event(**new))
    futures = b"""{"e":"ORDER_TRADE_UPDATE","E":%d,"T":%d,"o":{"s":"B","c":"x","S":"BUY","o":"LIMIT","f":"GTC","q":"1",
        "p":"5","ap":"5","x":"%s","X":"FILLED","i":%d,"l":"1","z":"1","L":"5","T":1,"t":%d}}"""
    traded = identity(account_event(futures % (1, 1, b"TRADE", 7, 9)))
    assert traded == identity(account_event(futures % (2, 3, b"TRADE", 7, 9)))
    assert traded not in [identity(account_event(futures % (1, 1, b"TRADE", *ids))) for ids in ((7, 8), (8, 9))]
    placed = identity(account_event(futures % (1, 1, b"NEW", 7, 0)))
    assert placed == identity(account_event(futures % (2, 1, b"NEW", 7, 0)))
    for about in ((1, 2, b"NEW", 7, 0), (1, 1, b"AMENDMENT", 7, 0), (1, 1, b"NEW", 8, 0)):
        assert placed != identity(account_event(futures % about))
    lite = b'{"e":"TRADE_LITE","E":1,"T":1,"s":"B","c":"x","S":"BUY","i":7,"l":"1","L":"5","t":9,"m":true}'
    assert identity(account_event(lite)) != fill
    position = b'{"e":"ACCOUNT_UPDATE","E":%d,"T":%d,"a":{"m":"ORDER","B":[{"a":"USDT","wb":"1","cw":"1"}]}}'
    assert identity(account_event(position % (1, 1))) == identity(account_event(position % (2, 1)))
    assert identity(account_event(position % (1, 1))) != identity(account_event(position % (1, 2)))


def test_every_recorded_order_event_is_told(recordings: Path) -> None:
    wire = recordings / "wire"
    lines = (wire / "ccxt_excerpts" / "binance_ws_real_2026.jsonl").read_bytes().splitlines()
    spoken = [msgspec.json.encode(msgspec.json.decode(line)["msg"]) for line in lines if b'"executionReport"' in line]
    folder = wire / "nautilus_trader" / "crates" / "adapters" / "binance" / "test_data" / "futures" / "user_data_json"
    spoken += [path.read_bytes() for path in sorted(folder.glob("order_update*.json"))]
    assert len(spoken) == 11
    for connection in connections():
        heard = connection.decode([Frame(1, body) for body in spoken])
        assert len(heard.events) == len(spoken)
        assert heard.set_aside == []
        assert len({identity(event) for _, event in heard.events}) >= 10


WHOLE = [
    msgspec.json.encode({"subscriptionId": 0, "event": REPORT}),
    b'{"e":"TRADE_LITE","E":1,"T":1,"s":"B","c":"x","S":"BUY","i":7,"l":"1","L":"5","t":9,"m":true}',
    b'{"e":"listenKeyExpired","E":1736996475556,"listenKey":"abc"}',
    b'{"id":1,"status":400,"error":{"code":-1022,"msg":"no"}}',
]


@given(st.one_of(
    st.binary(max_size=200),
    st.builds(lambda whole, end: whole[: end % len(whole)], st.sampled_from(WHOLE), st.integers(0, 1_000)),
))  # fmt: skip
def test_noise_and_parts_of_frames_are_no_events(frame: bytes) -> None:
    for connection in connections():
        heard = connection.decode([Frame(1, frame)])
        assert heard.events == []
        assert heard.end is None
        assert len(heard.set_aside) + sum(heard.ignored.values()) == 1


@given(st.sampled_from(WHOLE), st.integers(0, 10_000))
def test_a_flipped_bit_never_raises(whole: bytes, bit: int) -> None:
    frame = bytearray(whole)
    frame[bit // 8 % len(frame)] ^= 1 << bit % 8
    for connection in connections():
        heard = connection.decode([Frame(1, bytes(frame))])
        for _, event in heard.events:
            hash(identity(event))
