from __future__ import annotations

from decimal import Decimal

import pytest

from spyhop.model.instruments import Instrument
from spyhop.model.tape import Venue
from spyhop.venues.fees import in_quote

BTC = Instrument(
    id=0,
    venue=Venue.BINANCE_SPOT,
    symbol="BTCUSDT",
    tick_size=Decimal("0.01"),
    lot_size=Decimal("0.001"),
    base="BTC",
    quote="USDT",
)


@pytest.mark.parametrize(
    ("fee", "asset", "paid"),
    [
        ("1.5", "USDT", 1.5),
        ("-0.25", "USDT", -0.25),
        ("1.5", None, 1.5),
        ("0", "BNB", 0.0),
        ("0.0001", "BTC", 6.0),
        ("2.5", "BNFCR", 2.5),
        ("0.01", "BNB", 7.0),
    ],
)
def test_fees_are_told_in_the_quote_currency(fee: str, asset: str | None, paid: float) -> None:
    prices = {("BNB", "USDT"): 700.0}
    told = in_quote(Decimal(fee), asset, BTC, 6_000_000, 20, lambda *of: prices.get(of))
    assert told == pytest.approx(paid)


def test_where_nobody_knows_the_price_the_usual_fee_is_taken_and_said(caplog: pytest.LogCaptureFixture) -> None:
    assert in_quote(Decimal("0.01"), "BNB", BTC, 6_000_000, 20) == pytest.approx(60_000 * 0.02 * 0.001)
    assert "0.01 BNB" in caplog.text
