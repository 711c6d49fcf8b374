"""USDT-M's account endpoints: balances, positions, leverage, margin modes, brackets, fees, income, listen keys."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

from spyhop.clock import NS_PER_MS
from spyhop.venuesim.binance.errors import BinanceError, missing
from spyhop.venuesim.binance.grid import Grid, fixed
from spyhop.venuesim.binance.market_rest import MarketRest
from spyhop.venuesim.binance.rest import Access, Call, Endpoint
from spyhop.venuesim.binance.user_stream import ListenKeys
from spyhop.venuesim.views import Balance, IncomeKind, MarginMode, PositionView

MAKER_FEE, TAKER_FEE = Decimal("0.0002"), Decimal("0.0005")
_INCOME = {
    IncomeKind.REALIZED_PNL: "REALIZED_PNL",
    IncomeKind.COMMISSION: "COMMISSION",
    IncomeKind.FUNDING_FEE: "FUNDING_FEE",
    IncomeKind.TRANSFER: "TRANSFER",
    IncomeKind.INSURANCE_CLEAR: "INSURANCE_CLEAR",
}
_KINDS = {name: kind for kind, name in _INCOME.items()}
_SUCCESS = {"code": 200, "msg": "success"}


class AccountDesk:
    """What an account of the USDT-M market holds and how it is set. One-way positions, single-asset margin."""

    def __init__(self, market: MarketRest, keys: ListenKeys) -> None:
        self._market, self._exchange, self._keys = market, market.floor.exchange, keys

    def endpoints(self) -> list[Endpoint]:
        """Return the endpoints, with the weights that the venue asks."""
        signed, keyed = Access.SIGNED, Access.KEYED
        get = [
            ("v2/account", self.account_v2, 5),
            ("v3/account", self.account, 5),
            ("v2/balance", self.balance, 5),
            ("v3/balance", self.balance, 5),
            ("v1/positionRisk", self.risk_v2, 5),
            ("v2/positionRisk", self.risk_v2, 5),
            ("v3/positionRisk", self.risk_v3, 5),
            ("v1/positionSide/dual", lambda call: {"dualSidePosition": False}, 30),
            ("v1/multiAssetsMargin", lambda call: {"multiAssetsMargin": False}, 30),
            ("v1/leverageBracket", self.brackets, 1),
            ("v1/commissionRate", self.commission, 20),
            ("v1/income", self.income, 30),
            ("v1/symbolConfig", self.symbol_config, 5),
            ("v1/accountConfig", self.account_config, 5),
            ("v1/apiTradingStatus", lambda call: {"indicators": {}, "updateTime": call.now_ms}, 1),
            ("v1/adlQuantile", self.adl, 5),
        ]
        return [
            *(Endpoint("GET", f"/fapi/{path}", handler, weight, signed) for path, handler, weight in get),
            Endpoint("POST", "/fapi/v1/leverage", self.leverage, 1, signed),
            Endpoint("POST", "/fapi/v1/marginType", self.margin_type, 1, signed),
            Endpoint("POST", "/fapi/v1/positionSide/dual", self.dual, 1, signed),
            Endpoint("POST", "/fapi/v1/listenKey", self.make_key, 1, keyed),
            Endpoint("PUT", "/fapi/v1/listenKey", self.keep_key, 1, keyed),
            Endpoint("DELETE", "/fapi/v1/listenKey", self.drop_key, 1, keyed),
        ]

    def balance(self, call: Call) -> object:
        """Return the assets of the account."""
        return [
            {
                "accountAlias": "SgsR",
                "asset": held.asset,
                "balance": fixed(held.wallet),
                "crossWalletBalance": fixed(held.cross_wallet),
                "crossUnPnl": fixed(held.unrealized),
                "availableBalance": fixed(held.available),
                "maxWithdrawAmount": fixed(held.available),
                "marginAvailable": True,
                "updateTime": call.now_ms,
            }
            for held in self._exchange.balances(call.account)
        ]

    def account(self, call: Call) -> object:
        """Return balances and positions held, with totals over the assets."""
        balances = self._exchange.balances(call.account)
        views = self._exchange.positions(call.account)
        return {
            **_totals(balances, views),
            "assets": [self._asset(held, call.now_ms) for held in balances],
            "positions": [_position(view, self._grid(view), call.skew_ms) for view in views],
        }

    def account_v2(self, call: Call) -> object:
        """Return the same with every symbol's settings, as the second version does."""
        balances = self._exchange.balances(call.account)
        views = [self._exchange.position(call.account, number) for number in self._market.frames]
        positions = []
        for view in views:
            positions.append(
                {
                    **_position(view, self._grid(view), call.skew_ms),
                    "positionInitialMargin": fixed(view.initial_margin),
                    "openOrderInitialMargin": fixed(view.order_margin),
                    "leverage": str(view.leverage),
                    "isolated": view.mode is MarginMode.ISOLATED,
                    "entryPrice": fixed(view.entry, 5),
                    "breakEvenPrice": fixed(view.entry, 5),
                    "maxNotional": self._most(view),
                    "bidNotional": "0",
                    "askNotional": "0",
                }
            )
        return {
            "feeTier": 0,
            "canTrade": True,
            "canDeposit": True,
            "canWithdraw": True,
            "updateTime": 0,
            "multiAssetsMargin": False,
            "tradeGroupId": -1,
            **_totals(balances, views),
            "assets": [{**self._asset(held, call.now_ms), "marginAvailable": True} for held in balances],
            "positions": positions,
        }

    def risk_v2(self, call: Call) -> object:
        """Return every symbol's position, held or not."""
        views = [self._exchange.position(call.account, number) for number in self._market.numbers(call)]
        return [
            {
                **_risk(view, self._grid(view), call.skew_ms),
                "leverage": str(view.leverage),
                "maxNotionalValue": self._most(view),
                "marginType": "isolated" if view.mode is MarginMode.ISOLATED else "cross",
                "isAutoAddMargin": "false",
            }
            for view in views
        ]

    def risk_v3(self, call: Call) -> object:
        """Return the positions that are held or have orders open."""
        views = [self._exchange.position(call.account, number) for number in self._market.numbers(call)]
        return [
            {
                **_risk(view, self._grid(view), call.skew_ms),
                "marginAsset": self._grid(view).instrument.quote,
                "initialMargin": fixed(view.initial_margin + view.order_margin),
                "maintMargin": fixed(view.maintenance_margin),
                "positionInitialMargin": fixed(view.initial_margin),
                "openOrderInitialMargin": fixed(view.order_margin),
                "adl": 1 if view.lots else 0,
                "bidNotional": "0",
                "askNotional": "0",
            }
            for view in views
            if view.lots or view.order_margin
        ]

    def leverage(self, call: Call) -> object:
        """Set the leverage of a symbol."""
        number, wanted = self._market.number(call), call.integer("leverage", -1)
        if wanted < 1:
            raise BinanceError(-4028, f"Leverage {wanted} is not valid.")
        self._exchange.set_leverage(call.account, number, wanted)
        view = self._exchange.position(call.account, number)
        return {"symbol": call.need("symbol"), "leverage": wanted, "maxNotionalValue": self._most(view)}

    def margin_type(self, call: Call) -> object:
        """Set cross or isolated margin of a symbol."""
        number = self._market.number(call)
        modes = {"ISOLATED": MarginMode.ISOLATED, "CROSSED": MarginMode.CROSS}
        wanted = modes.get(call.need("marginType"))
        if wanted is None:
            raise missing("marginType")
        view = self._exchange.position(call.account, number)
        if view.mode is wanted:
            raise BinanceError(-4046, "No need to change margin type.")
        if view.lots:
            raise BinanceError(-4048, "Margin type cannot be changed if there exists position.")
        if self._exchange.open_orders(call.account, number):
            raise BinanceError(-4047, "Margin type cannot be changed if there exists open orders.")
        self._exchange.set_margin_mode(call.account, number, wanted)
        return _SUCCESS

    def dual(self, call: Call) -> object:
        """Refuse both: one-way mode is what there is."""
        if call.need("dualSidePosition").lower() == "false":
            raise BinanceError(-4059, "No need to change position side.")
        raise BinanceError(-4067, "Position side cannot be changed: hedge mode is not offered by this simulator.")

    def brackets(self, call: Call) -> object:
        """Return the leverage brackets, which are the instrument's margin tiers."""
        return [self._bracket(number) for number in self._market.numbers(call)]

    def commission(self, call: Call) -> object:
        """Return the fees."""
        self._market.number(call)
        return {
            "symbol": call.need("symbol"),
            "makerCommissionRate": fixed(MAKER_FEE, 6),
            "takerCommissionRate": fixed(TAKER_FEE, 6),
            "rpiCommissionRate": "0.000000",
        }

    def income(self, call: Call) -> object:
        """Return what changed the wallet, oldest first."""
        number = self._market.number(call) if call.text("symbol") else -1
        kind = _KINDS.get(call.text("incomeType"))
        if call.text("incomeType") and kind is None:
            return []
        start, end = call.span()
        told = []
        for entry in self._exchange.income(call.account, number, kind, start, end, call.limit(100, 1_000)):
            symbol = self._market.grid(entry.instrument).instrument.symbol if entry.instrument >= 0 else ""
            told.append(
                {
                    "symbol": symbol,
                    "incomeType": _INCOME[entry.kind],
                    "income": fixed(entry.amount),
                    "asset": entry.asset,
                    "info": _INCOME[entry.kind],
                    "time": entry.ts // NS_PER_MS + call.skew_ms,
                    "tranId": entry.income_id,
                    "tradeId": str(entry.trade_id) if entry.trade_id else "",
                }
            )
        return told

    def symbol_config(self, call: Call) -> object:
        """Return leverage and margin mode of one symbol or of all."""
        views = [self._exchange.position(call.account, number) for number in self._market.numbers(call)]
        return [
            {
                "symbol": self._grid(view).instrument.symbol,
                "marginType": "ISOLATED" if view.mode is MarginMode.ISOLATED else "CROSSED",
                "isAutoAddMargin": False,
                "leverage": view.leverage,
                "maxNotionalValue": self._most(view),
            }
            for view in views
        ]

    def account_config(self, call: Call) -> object:
        """Return how the account is set."""
        return {
            "feeTier": 0,
            "canTrade": True,
            "canDeposit": True,
            "canWithdraw": True,
            "dualSidePosition": False,
            "updateTime": 0,
            "multiAssetsMargin": False,
            "tradeGroupId": -1,
        }

    def adl(self, call: Call) -> object:
        """Return how near the positions held are to being deleveraged, which they never are here."""
        views = self._exchange.positions(call.account)
        return [
            {"symbol": self._grid(view).instrument.symbol, "adlQuantile": {"BOTH": 1}}
            for view in views
            if not call.text("symbol") or self._grid(view).instrument.symbol == call.text("symbol")
        ]

    def make_key(self, call: Call) -> object:
        """Return the account's listen key, made or prolonged."""
        return {"listenKey": self._keys.create(call.account, call.now)}

    def keep_key(self, call: Call) -> object:
        """Prolong the account's listen key."""
        return {"listenKey": self._keys.keep(call.account, call.now)}

    def drop_key(self, call: Call) -> object:
        """Close the account's private stream."""
        self._keys.delete(call.account)
        return {}

    def _grid(self, view: PositionView) -> Grid:
        return self._market.grid(view.instrument)

    def _most(self, view: PositionView) -> str:
        tiers = self._grid(view).instrument.margin_tiers
        above = [tier.floor for tier in tiers if tier.max_leverage < view.leverage]
        return f"{min(above):f}" if above else "1000000000"

    def _bracket(self, number: int) -> dict[str, Any]:
        instrument = self._market.grid(number).instrument
        tiers = instrument.margin_tiers
        ends = [*(tier.floor for tier in tiers[1:]), Decimal(10**18)]
        return {
            "symbol": instrument.symbol,
            "brackets": [
                {
                    "bracket": place,
                    "initialLeverage": int(tier.max_leverage),
                    "notionalCap": int(end),
                    "notionalFloor": int(tier.floor),
                    "maintMarginRatio": float(tier.maintenance_rate),
                    "cum": float(tier.amount),
                }
                for place, (tier, end) in enumerate(zip(tiers, ends, strict=bool(tiers)), 1)
            ],
        }

    @staticmethod
    def _asset(held: Balance, now_ms: int) -> dict[str, Any]:
        return {
            "asset": held.asset,
            "walletBalance": fixed(held.wallet),
            "unrealizedProfit": fixed(held.unrealized),
            "marginBalance": fixed(held.wallet + held.unrealized),
            "maintMargin": fixed(held.maintenance_margin),
            "initialMargin": fixed(held.initial_margin),
            "positionInitialMargin": fixed(held.initial_margin),
            "openOrderInitialMargin": "0.00000000",
            "crossWalletBalance": fixed(held.cross_wallet),
            "crossUnPnl": fixed(held.unrealized),
            "availableBalance": fixed(held.available),
            "maxWithdrawAmount": fixed(held.available),
            "updateTime": now_ms,
        }


def _totals(balances: list[Balance], views: list[PositionView]) -> dict[str, str]:
    def total(name: str) -> Decimal:
        return sum((getattr(held, name) for held in balances), Decimal(0))

    wallet, unrealized, orders = total("wallet"), total("unrealized"), sum((v.order_margin for v in views), Decimal(0))
    return {
        "totalInitialMargin": fixed(total("initial_margin")),
        "totalMaintMargin": fixed(total("maintenance_margin")),
        "totalWalletBalance": fixed(wallet),
        "totalUnrealizedProfit": fixed(unrealized),
        "totalMarginBalance": fixed(wallet + unrealized),
        "totalPositionInitialMargin": fixed(total("initial_margin") - orders),
        "totalOpenOrderInitialMargin": fixed(orders),
        "totalCrossWalletBalance": fixed(total("cross_wallet")),
        "totalCrossUnPnl": fixed(unrealized),
        "availableBalance": fixed(total("available")),
        "maxWithdrawAmount": fixed(total("available")),
    }


def _position(view: PositionView, grid: Grid, skew_ms: int) -> dict[str, Any]:
    return {
        "symbol": grid.instrument.symbol,
        "positionSide": "BOTH",
        "positionAmt": grid.qty(view.lots),
        "unrealizedProfit": fixed(view.unrealized),
        "isolatedMargin": fixed(view.margin + (view.unrealized if view.margin else Decimal(0))),
        "notional": fixed(view.notional),
        "isolatedWallet": fixed(view.margin),
        "initialMargin": fixed(view.initial_margin),
        "maintMargin": fixed(view.maintenance_margin),
        "updateTime": view.updated // NS_PER_MS + skew_ms if view.updated else 0,
    }


def _risk(view: PositionView, grid: Grid, skew_ms: int) -> dict[str, Any]:
    return {
        "symbol": grid.instrument.symbol,
        "positionSide": "BOTH",
        "positionAmt": grid.qty(view.lots),
        "entryPrice": fixed(view.entry, 5),
        "breakEvenPrice": fixed(view.entry, 5),
        "markPrice": fixed(view.mark),
        "unRealizedProfit": fixed(view.unrealized),
        "liquidationPrice": fixed(view.liquidation) if view.liquidation else "0",
        "isolatedMargin": fixed(view.margin + (view.unrealized if view.margin else Decimal(0))),
        "notional": fixed(view.notional),
        "isolatedWallet": fixed(view.margin),
        "updateTime": view.updated // NS_PER_MS + skew_ms if view.updated else 0,
    }
