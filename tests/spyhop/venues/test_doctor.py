"""The doctor over fakes that answer anything, and over the simulated chain."""

from __future__ import annotations

import asyncio
from decimal import Decimal
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from spyhop.clock import NS_PER_DAY
from spyhop.errors import VenueRefused, VenueUnavailable
from spyhop.model.accounts import KeyRights, VenueBalance, VenueOrder, VenuePosition
from spyhop.model.instruments import Instrument, MarginTier
from spyhop.model.orders import OrderStatus, OrderType
from spyhop.model.tape import Side, Venue
from spyhop.venues.ccxt.trader import binance_trader
from spyhop.venues.doctor import DoctorParams, Finding, Level, Plan, examine, liquidation_frac, passes
from spyhop.venues.dydx.trader import dydx_trader
from spyhop.venuesim.keys import TEST_WALLET

NOW = 1_780_000_000 * 10**9


def instrument(rate: str = "0.004", venue: Venue = Venue.BINANCE_USDM, **about: Any) -> Instrument:
    columns: dict[str, Any] = {
        "id": 0, "venue": venue, "symbol": "BTCUSDT", "tick_size": Decimal("0.1"), "lot_size": Decimal("0.001"),
        "base": "BTC", "quote": "USDT", "min_qty": Decimal("0.001"), "min_notional": Decimal(100),
        "margin_tiers": (MarginTier(Decimal(0), Decimal(rate), Decimal(125)),),
    }  # fmt: skip
    return Instrument(**{**columns, **about})


PLAN = Plan(instrument=instrument(), price=600_000.0, lots=10, leverage=5.0, sigma_1m=0.0005)
RIGHTS = KeyRights(
    can_trade=True, can_withdraw=False, is_ip_restricted=True, created=NOW - 3 * NS_PER_DAY, is_one_way=True
)


class Account:
    """An account that answers what it is given; an exception is raised."""

    name = "fake:main"

    def __init__(self, **answers: Any) -> None:
        self.kinds = answers.pop("kinds", frozenset(OrderType))
        self._answers = {
            "rights": RIGHTS,
            "balances": [VenueBalance(asset="USDT", total=500.0, free=500.0)],
            "open_orders": [],
            "positions": [],
            **answers,
        }

    def __getattr__(self, name: str) -> Any:
        async def answer() -> Any:
            told = self._answers[name]
            if isinstance(told, Exception):
                raise told
            return told

        if name not in self._answers:
            raise AttributeError(name)
        return answer


def looked(account: Account, plan: Plan = PLAN, params: DoctorParams | None = None, **about: Any) -> dict[str, Finding]:
    about = {"offset_ms": 20.0, **about}
    findings = asyncio.run(examine(account, [plan], params or DoctorParams(), NOW, **about))  # type: ignore[arg-type]
    assert len({finding.code for finding in findings}) == len(findings)
    assert all(finding.text.endswith(".") for finding in findings)
    return {finding.code: finding for finding in findings}


def foreign(name: str = "") -> VenueOrder:
    return VenueOrder(
        client_order_id=name, venue_order_id="7", instrument=0, side=Side.BUY, status=OrderStatus.OPEN, lots=1, filled=0
    )


def test_a_fit_account_passes_with_every_check_made() -> None:
    found = looked(Account())
    assert {finding.level for finding in found.values()} == {Level.OK}
    assert passes(found.values())
    assert found.keys() >= {
        "key_trades", "key_withdrawal", "key_address", "key_age", "position_mode", "clock", "balance",
        "foreign_orders", "foreign_positions", "minimum_size", "minimum_notional", "leverage", "liquidation_time",
    }  # fmt: skip


def test_nothing_looked_at_is_no_pass() -> None:
    assert not passes([])


@pytest.mark.parametrize(
    ("code", "level", "account", "about"),
    [
        ("key_trades", Level.FAIL, {"rights": msgspec.structs.replace(RIGHTS, can_trade=False)}, {}),
        ("key_withdrawal", Level.FAIL, {"rights": msgspec.structs.replace(RIGHTS, can_withdraw=True)}, {}),
        ("key_address", Level.WARN, {"rights": msgspec.structs.replace(RIGHTS, is_ip_restricted=False)}, {}),
        ("key_age", Level.WARN, {"rights": msgspec.structs.replace(RIGHTS, created=NOW - 31 * NS_PER_DAY)}, {}),
        ("key_age", Level.UNKNOWN, {"rights": msgspec.structs.replace(RIGHTS, created=0)}, {}),
        ("position_mode", Level.FAIL, {"rights": msgspec.structs.replace(RIGHTS, is_one_way=False)}, {}),
        ("position_mode", Level.UNKNOWN, {"rights": KeyRights()}, {}),
        ("key", Level.FAIL, {"rights": VenueUnavailable("https://venue", 503, "down")}, {}),
        ("clock", Level.FAIL, {}, {"offset_ms": -501.0}),
        ("clock", Level.WARN, {}, {"offset_ms": 200.0}),
        ("clock", Level.UNKNOWN, {}, {"offset_ms": None}),
        ("balance", Level.FAIL, {"balances": []}, {}),
        ("balance", Level.FAIL, {"balances": [VenueBalance(asset="USDT", total=500.0, free=119.0)]}, {}),
        ("balance", Level.FAIL, {"balances": VenueUnavailable("https://venue", 503, "down")}, {}),
        ("foreign_orders", Level.FAIL, {"open_orders": [foreign()]}, {}),
        ("foreign_orders", Level.OK, {"open_orders": [foreign("s20260521_171500_000000-000001")]}, {}),
        ("foreign_positions", Level.FAIL, {"positions": [VenuePosition(instrument=0, lots=3)]}, {}),
        ("foreign_positions", Level.FAIL, {}, {"held": {0: 3}}),
        ("foreign_positions", Level.OK, {"positions": [VenuePosition(instrument=0, lots=3)]}, {"held": {0: 3}}),
        ("margin_mode", Level.WARN, {"positions": [VenuePosition(instrument=0, lots=3, is_isolated=False)]}, {}),
        ("leverage_set", Level.FAIL, {"positions": [VenuePosition(instrument=0, lots=3, leverage=20.0)]}, {}),
        ("order_types", Level.WARN, {"kinds": frozenset({OrderType.MARKET, OrderType.LIMIT})}, {}),
    ],
)
def test_what_is_wrong_is_found(code: str, level: Level, account: dict[str, Any], about: dict[str, Any]) -> None:
    found = looked(Account(**account), **about)
    assert found[code].level is level
    assert passes(found.values()) == (Level.FAIL not in {finding.level for finding in found.values()})


@pytest.mark.parametrize(
    ("code", "plan"),
    [
        ("minimum_size", {"lots": 0}),
        ("minimum_notional", {"lots": 1}),
        ("leverage", {"leverage": 126.0}),
        ("liquidation_time", {"leverage": 100.0, "sigma_1m": 0.001}),
    ],
)
def test_a_plan_that_the_venue_does_not_bear_fails(code: str, plan: dict[str, Any]) -> None:
    assert looked(Account(), msgspec.structs.replace(PLAN, **plan))[code].level is Level.FAIL


def test_money_of_dydx_is_usdc_whatever_its_markets_are_called() -> None:
    plan = Plan(instrument=instrument(venue=Venue.DYDX, symbol="BTC-USD", quote="USD"), price=600_000.0, lots=10)
    account = Account(balances=[VenueBalance(asset="USDC", total=900.0, free=900.0)])
    assert looked(account, plan)["balance"].level is Level.OK


def test_what_the_operator_takes_upon_himself_only_warns() -> None:
    sharing = DoctorParams(may_key_withdraw=True, may_share_account=True)
    account = Account(rights=msgspec.structs.replace(RIGHTS, can_withdraw=True), open_orders=[foreign()])
    found = looked(account, params=sharing)
    assert [found[code].level for code in ("key_withdrawal", "foreign_orders")] == [Level.WARN, Level.WARN]
    assert passes(found.values())


def test_a_test_order_is_tried_where_there_is_one() -> None:
    async def fine() -> None: ...

    async def refused() -> None:
        raise VenueRefused("https://venue/order/test", 400, -2015, "no permission")

    assert "test_order" not in looked(Account())
    assert looked(Account(), probe=fine)["test_order"].level is Level.OK
    bad = looked(Account(), probe=refused)["test_order"]
    assert bad.level is Level.FAIL
    assert "no permission" in bad.text


@pytest.mark.parametrize(
    ("leverage", "percent"), [(10.0, 9.64), (20.0, 4.62), (50.0, 1.61), (100.0, 0.60), (125.0, 0.40)]
)
def test_distances_are_those_that_binance_publishes(leverage: float, percent: float) -> None:
    plan = msgspec.structs.replace(PLAN, leverage=leverage)
    assert round(100 * liquidation_frac(plan, Side.BUY), 2) == percent


@pytest.mark.parametrize(("side", "percent"), [(Side.BUY, 0.81), (Side.SELL, 0.79)])
def test_distances_are_those_of_the_chains_documents(side: Side, percent: float) -> None:
    plan = Plan(instrument=instrument("0.012", Venue.DYDX), price=60_000.0, lots=10, leverage=50.0)
    assert round(100 * liquidation_frac(plan, side), 2) == percent


def test_time_to_liquidation_is_the_square_of_distance_over_sigma() -> None:
    plan = msgspec.structs.replace(PLAN, leverage=10.0, sigma_1m=0.001)
    nearer = min(liquidation_frac(plan, side) for side in (Side.BUY, Side.SELL))
    hours = looked(Account(), plan)["liquidation_time"].measured
    # a walk of 0.1 % a minute is sqrt(60 h) times as wide after h hours
    assert 0.001 * (60 * hours) ** 0.5 == pytest.approx(nearer)
    assert hours == pytest.approx((0.0956 / 0.001) ** 2 / 60, rel=0.01)  # a short: (1 + 1/10) / 1.004 - 1 = 9.56 %


@given(st.floats(1.0, 125.0), st.floats(1.0, 125.0))
def test_more_leverage_never_gives_more_time(one: float, other: float) -> None:
    low, high = sorted((one, other))
    plans = [msgspec.structs.replace(PLAN, leverage=leverage) for leverage in (low, high)]
    for side in (Side.BUY, Side.SELL):
        assert liquidation_frac(plans[0], side) >= liquidation_frac(plans[1], side) - 1e-12


@pytest.mark.slow
def test_the_simulated_chain_is_examined(simulated: Any) -> None:
    async def go() -> list[Finding]:
        async with simulated(speed=10.0) as sim:
            btc = next(one for one in sim.floor.exchange.instruments if one.symbol == "BTC-USD")
            trader = dydx_trader(sim.endpoints.dydx, TEST_WALLET, [btc], sim.clock)
            price = float(btc.to_ticks(sim.top(btc.id)[0]))
            plan = Plan(instrument=btc, price=price, lots=10, leverage=3.0, sigma_1m=0.0005)
            findings = await examine(trader, [plan], DoctorParams(), sim.clock.now_ns(), offset_ms=1.0)
            await trader.close()
            return findings

    findings = {finding.code: finding for finding in asyncio.run(go())}
    # the key of a wallet may do everything, and somebody must have said that he knows
    assert [code for code, finding in findings.items() if finding.level is Level.FAIL] == ["key_withdrawal"]
    assert findings["balance"].measured > 0.0
    assert findings["liquidation_time"].level is Level.OK


@pytest.mark.slow
def test_the_simulated_futures_market_is_examined(simulated: Any) -> None:
    async def go() -> list[Finding]:
        async with simulated() as sim:
            mine = [one for one in sim.floor.exchange.instruments if one.venue is Venue.BINANCE_USDM]
            key = sim.key
            trader = binance_trader(
                Venue.BINANCE_USDM, sim.endpoints, key.key, key.secret, mine, sim.clock, timeout_s=5.0
            )
            price = float(mine[0].to_ticks(sim.top(mine[0].id)[0]))
            plan = Plan(instrument=mine[0], price=price, lots=100, leverage=3.0, sigma_1m=0.0005)
            clean = await examine(trader, [plan], DoctorParams(), sim.clock.now_ns(), offset_ms=1.0)
            await sim.call(
                "POST", "/fapi/v1/order", symbol=mine[0].symbol, side="BUY", type="LIMIT", quantity="0.1",
                price=str(sim.top(mine[0].id)[0] - 1_000), timeInForce="GTC", newClientOrderId="by-hand",
            )  # fmt: skip
            shared = await examine(trader, [plan], DoctorParams(), sim.clock.now_ns(), offset_ms=1.0)
            await trader.close()
            return [*clean, *(one for one in shared if one.code == "foreign_orders")]

    *findings, shared = asyncio.run(go())
    told = {finding.code: finding for finding in findings}
    assert [code for code, finding in told.items() if finding.level is Level.FAIL] == []
    assert (told["key_trades"].level, told["position_mode"].level) == (Level.OK, Level.OK)
    assert (shared.level, shared.measured) == (Level.FAIL, 1.0)
