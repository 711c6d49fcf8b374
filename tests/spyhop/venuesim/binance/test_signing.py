from __future__ import annotations

import pytest

from spyhop.venuesim.binance.errors import BinanceError
from spyhop.venuesim.binance.signing import Keyring
from spyhop.venuesim.keys import ApiKey

# the worked example of Binance's documentation of signed endpoints
DOC_KEY = ApiKey(
    "doc",
    "vmPUZE6mv9SD5VNHk4HlWFsOr6aKE2zvsw0MuIgwCIPy6utIco14y7Ju91duEh8A",
    "NhqPtmdSJYdKjVHjA7PZj4Mge3R5YNiP1e3UZjInClVN65XAbvqqM6A7H5fATj0j",
)
DOC_QUERY = (
    "symbol=LTCBTC&side=BUY&type=LIMIT&timeInForce=GTC&quantity=1&price=0.1&recvWindow=5000&timestamp=1499827319559"
)
DOC_SIGNATURE = "c8db56825ae71d6d79447849e617115f4a920fa2acdcab2b053c4b2838bd6b71"
DOC_TIME = 1_499_827_319_559


def test_the_documented_example_is_accepted_in_query_body_and_both() -> None:
    ring = Keyring([DOC_KEY])
    signed = f"{DOC_QUERY}&signature={DOC_SIGNATURE}"
    ring.check(DOC_KEY, signed, "", DOC_TIME)
    ring.check(DOC_KEY, "", signed, DOC_TIME)
    # the documentation's mixed example: the query and the body are joined without an ampersand
    query = "symbol=LTCBTC&side=BUY&type=LIMIT&timeInForce=GTC"
    body = "quantity=1&price=0.1&recvWindow=5000&timestamp=1499827319559"
    mixed = "0fd168b8ddb4876a0358a8d14d0c9f3da0e9b20c5d52b2a00fcf7d1c602f9a77"
    ring.check(DOC_KEY, query, f"{body}&signature={mixed}", DOC_TIME)


@pytest.mark.parametrize(
    "query",
    [
        DOC_QUERY,
        f"{DOC_QUERY}&signature=",
        f"{DOC_QUERY}&signature={'0' * 64}",
        f"{DOC_QUERY.replace('quantity=1', 'quantity=2')}&signature={DOC_SIGNATURE}",
        f"{DOC_QUERY.replace('symbol=LTCBTC&side=BUY', 'side=BUY&symbol=LTCBTC')}&signature={DOC_SIGNATURE}",
    ],
)
def test_any_other_bytes_are_refused(query: str) -> None:
    with pytest.raises(BinanceError) as refused:
        Keyring([DOC_KEY]).check(DOC_KEY, query, "", DOC_TIME)
    assert refused.value.code == -1022


@pytest.mark.parametrize(
    ("now", "code"),
    [(DOC_TIME + 5_000, 0), (DOC_TIME + 5_001, -1021), (DOC_TIME - 1_000, 0), (DOC_TIME - 1_001, -1021)],
)
def test_a_request_must_come_within_its_window_and_not_from_the_future(now: int, code: int) -> None:
    ring, signed = Keyring([DOC_KEY]), f"{DOC_QUERY}&signature={DOC_SIGNATURE}"
    if code == 0:
        ring.check(DOC_KEY, signed, "", now)
        return
    with pytest.raises(BinanceError) as refused:
        ring.check(DOC_KEY, signed, "", now)
    assert refused.value.code == code


@pytest.mark.parametrize(("key", "code"), [(None, -2014), ("", -2014), ("unknown", -2015)])
def test_only_known_keys_own_anything(key: str | None, code: int) -> None:
    with pytest.raises(BinanceError) as refused:
        Keyring([DOC_KEY]).owner(key)
    assert refused.value.code == code


def test_a_key_keeps_its_secret_to_itself() -> None:
    assert DOC_KEY.secret not in repr(DOC_KEY)
