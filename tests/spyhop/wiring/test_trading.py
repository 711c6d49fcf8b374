"""Questions to accounts outside of a session, put to the venue simulator."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import msgspec
import pytest

from spyhop.config.secrets import Secrets
from spyhop.config.settings import Settings
from spyhop.errors import MissingInput
from spyhop.model.accounts import VenuePosition
from spyhop.model.instruments import Instrument
from spyhop.model.orders import OrderType, Purpose, SubmitOrder, TimeInForce
from spyhop.model.tape import Side
from spyhop.venues.doctor import DoctorParams, Finding, Level
from spyhop.venues.endpoints import BinanceEndpoints, Endpoints
from spyhop.wiring.accounts import Keys, account_of, trader_of
from spyhop.wiring.trading import Examined, examined, instruments_of, killed, market_of

pytestmark = pytest.mark.slow

BOTH = ("BTCUSDT", "BTC-USD")


@pytest.fixture
def keys(venues: Endpoints) -> Keys:
    return Keys(Secrets({}), is_simulated=True)


def listed(venues: Endpoints, *symbols: str) -> tuple[Instrument, ...]:
    return asyncio.run(instruments_of(venues, symbols))


def order(instrument: Instrument, number: int, ts: int, **about: object) -> SubmitOrder:
    wanted: dict[str, object] = {
        "ts": ts,
        "client_order_id": f"s20251128_1715{number:02d}_{ts % 1_000_000:06d}-{number:06d}",
        "instrument": instrument.id,
        "side": Side.BUY,
        "type": OrderType.MARKET,
        "lots": 100,
        "purpose": Purpose.ENTRY,
    }
    return msgspec.convert({**wanted, **about}, SubmitOrder)


async def opened(venues: Endpoints, one: Instrument, keys: Keys, number: int) -> None:
    """Hold a position and leave an order in the book."""
    clock = venues.clock.clock()
    trader = trader_of(one.venue, venues, [one], keys, clock)
    try:
        market = await market_of(venues, one, clock)
        lots = max(1, round(200.0 / one.notional(market.mid, 1)))
        now = clock.now_ns()
        slack = max(1, round(market.mid * 0.02))
        await trader.submit(order(one, number, now, lots=lots, price=0, reference=round(market.mid)))
        price = market.bids[0][0] - slack
        resting = order(
            one, number + 1, now, lots=lots, type=OrderType.LIMIT, price=price, time_in_force=TimeInForce.GTC
        )
        await trader.submit(resting)
        for _ in range(200):
            if await trader.positions() and await trader.open_orders():
                return
            await asyncio.sleep(0.02)
        raise AssertionError("nothing was opened")
    finally:
        await trader.close()


async def held(venues: Endpoints, ours: Sequence[Instrument], keys: Keys) -> tuple[list[VenuePosition], int]:
    trader = trader_of(ours[0].venue, venues, ours, keys, venues.clock.clock())
    try:
        return await trader.positions(), len(await trader.open_orders())
    finally:
        await trader.close()


def test_instruments_are_numbered_as_they_were_asked_for(venues: Endpoints) -> None:
    found = listed(venues, *BOTH)
    assert [one.key for one in found] == ["binance-usdm:BTCUSDT", "dydx:BTC-USD"]
    assert [one.id for one in found] == [0, 1]
    with pytest.raises(MissingInput):
        listed(venues, "NOSUCH")


@pytest.mark.parametrize("symbol", ["BTCUSDT", "binance-spot:BTCUSDT", "BTC-USD"])
def test_a_market_is_told_best_first_with_both_sides(venues: Endpoints, symbol: str) -> None:
    (one,) = listed(venues, symbol)
    market = asyncio.run(market_of(venues, one, venues.clock.clock()))
    bids, asks = ([ticks for ticks, _ in side] for side in (market.bids, market.asks))
    assert bids == sorted(bids, reverse=True)
    assert asks == sorted(asks)
    assert 0 < bids[0] < market.mid < asks[0]
    assert market.depth(Side.BUY) == sum(lots for _, lots in market.asks) > 0
    # a bitcoin does not stand still for an hour, nor does it double in a minute
    assert 0.0 < market.sigma_1m < 0.1
    assert market.offset_ms < 2_000.0


def test_the_doctor_finds_the_accounts_of_a_simulator_fit_and_tells_their_money(venues: Endpoints, keys: Keys) -> None:
    async def told(settings: Settings) -> list[Examined]:
        return await examined(venues, settings, await instruments_of(venues, BOTH), keys)

    cautious = Settings(
        risk=msgspec.structs.replace(
            Settings().risk, sizing=msgspec.structs.replace(Settings().risk.sizing, max_leverage=5.0)
        )
    )
    # a wallet's key can always send money away: whoever trades with one must have said so
    futures, wallet = asyncio.run(told(cautious))
    assert (futures.account, wallet.account) == ("binance-usdm:main", "dydx:main")
    assert futures.is_fit
    assert [finding.code for finding in wallet.findings if finding.level is Level.FAIL] == ["key_withdrawal"]
    knowing = msgspec.structs.replace(cautious, doctor=DoctorParams(may_key_withdraw=True))
    for one in asyncio.run(told(knowing)):
        assert one.is_fit, [finding for finding in one.findings if finding.level is Level.FAIL]
        assert one.equity > 1_000.0


def test_an_account_of_which_nothing_was_said_or_that_failed_once_is_not_fit() -> None:
    fine, bad = (Finding(code="x", level=level, text="") for level in (Level.WARN, Level.FAIL))
    assert Examined("a", [fine], 1.0).is_fit
    assert not Examined("a", [fine, bad], 1.0).is_fit
    assert not Examined("a", [], 1.0).is_fit


def test_a_kill_leaves_no_order_and_no_position_at_either_venue(venues: Endpoints, keys: Keys) -> None:
    both = listed(venues, *BOTH)

    async def story() -> None:
        for number, one in enumerate(both):
            await opened(venues, one, keys, 10 + 2 * number)
        done = await killed(venues, both, keys)
        for one in both:
            flattened = done[account_of(one)]
            assert flattened.is_flat, flattened
            assert any(step.what == "slice" and step.lots < 0 for step in flattened.steps)
            assert any(step.what == "cancelled" for step in flattened.steps)
            assert await held(venues, [one], keys) == ([], 0)

    asyncio.run(story())


def test_an_account_without_a_key_is_told_and_keeps_no_other_from_being_closed(venues: Endpoints, keys: Keys) -> None:
    both = listed(venues, *BOTH)

    class OneKey(Keys):
        def __init__(self) -> None:
            super().__init__(Secrets({}), is_simulated=True)

        def dydx(self):
            return Secrets({})["DYDX_PRIVATE_KEY"]

    async def story() -> None:
        await opened(venues, both[0], keys, 20)
        done = await killed(venues, both, OneKey())
        assert done["binance-usdm:main"].is_flat
        assert not done["dydx:main"].is_flat
        assert "DYDX_PRIVATE_KEY is needed" in done["dydx:main"].steps[0].note
        assert await held(venues, both[:1], keys) == ([], 0)

    asyncio.run(story())


def test_a_kill_works_when_the_venue_tells_nothing_of_its_market(
    venues: Endpoints, keys: Keys, monkeypatch: pytest.MonkeyPatch
) -> None:
    (one,) = listed(venues, "BTCUSDT")

    async def silent(*about: object) -> None:
        raise MissingInput("no market data")

    async def story() -> None:
        await opened(venues, one, keys, 30)
        monkeypatch.setattr("spyhop.wiring.trading.market_of", silent)
        assert (await killed(venues, [one], keys))["binance-usdm:main"].is_flat

    asyncio.run(story())


def test_a_venue_that_is_not_there_is_told_as_not_flat(venues: Endpoints, keys: Keys) -> None:
    (one,) = listed(venues, "BTCUSDT")
    nowhere = msgspec.structs.replace(venues, binance_usdm=BinanceEndpoints("http://127.0.0.1:9", "ws://127.0.0.1:9"))
    done = asyncio.run(killed(nowhere, [one], keys))["binance-usdm:main"]
    assert not done.is_flat
    assert any(step.what == "failed" for step in done.steps)
