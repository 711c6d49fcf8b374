from __future__ import annotations

import pytest

from spyhop.venues.dydx.address import address_of, is_address

# the private key 1 and its well-known public key; the hash is that of BIP-173's own example
GENERATOR = bytes.fromhex("0279be667ef9dcbbac55a06295ce870b07029bfcdb2dce28d959f2815b16f81798")
REAL = ("dydx1n56z5fhmemtffzkt2eqyf9kuc7ycjfs86mvqy7", "dydx14zzueazeh0hj67cghhf9jypslcf9sh2n5k6art")


def test_the_key_of_the_bech32_standard_has_the_hash_of_its_example() -> None:
    # BIP-173: bc1qw508d6qejxtdg4y5r3zarvary0c5xw7kv8f3t4 is this key's; the data part holds the same hash
    assert address_of(GENERATOR)[5:37] == "w508d6qejxtdg4y5r3zarvary0c5xw7k"
    assert is_address(address_of(GENERATOR))


@pytest.mark.parametrize("address", REAL)
def test_real_addresses_are_addresses(address: str) -> None:
    assert is_address(address)


@pytest.mark.parametrize("address", REAL)
@pytest.mark.parametrize("place", [6, 20, 42])
def test_one_wrong_letter_is_seen(address: str, place: int) -> None:
    wrong = "q" if address[place] != "q" else "p"
    assert not is_address(address[:place] + wrong + address[place + 1 :])


@pytest.mark.parametrize(
    "text", ["", "dydx1", "cosmos1n56z5fhmemtffzkt2eqyf9kuc7ycjfs86mvqy7", "dydx1" + "b" * 38, "q" * 43]
)
def test_other_text_is_not_an_address(text: str) -> None:
    assert not is_address(text)
