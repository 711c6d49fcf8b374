from __future__ import annotations

from pathlib import Path

import msgspec

from spyhop.venuesim.dydx import names

# real bodies of one address, recorded by people who have nothing to do with this code
OWNER = "dydx1n56z5fhmemtffzkt2eqyf9kuc7ycjfs86mvqy7"
FIXTURES = "wire/nautilus_trader/crates/adapters/dydx/test_data"


def test_orders_are_named_as_the_venue_names_them(recordings: Path) -> None:
    orders = msgspec.json.decode((recordings / FIXTURES / "http_get_orders.json").read_bytes())["result"]
    assert len(orders) >= 3
    for order in orders:
        assert names.subaccount_uuid(OWNER, 0) == order["subaccountId"]
        named = names.order_uuid(OWNER, 0, int(order["clientId"]), int(order["clobPairId"]), int(order["orderFlags"]))
        assert named == order["id"]


def test_event_ids_have_the_shape_of_real_ones() -> None:
    assert names.event_id(45_487_245, 2, 5) == "02b6148d0000000200000005"


def test_names_differ_where_things_differ() -> None:
    some = {
        names.order_uuid(OWNER, 0, 1, 0, 0),
        names.order_uuid(OWNER, 1, 1, 0, 0),
        names.order_uuid(OWNER, 0, 2, 0, 0),
        names.order_uuid(OWNER, 0, 1, 1, 0),
        names.order_uuid(OWNER, 0, 1, 0, 64),
        names.fill_uuid("02", "TAKER"),
        names.fill_uuid("02", "MAKER"),
        names.transfer_uuid("02", "a", "b"),
        names.candle_uuid("2025-08-05T03:40:00.000Z", "BTC-USD", "1MIN"),
    }
    assert len(some) == 9
