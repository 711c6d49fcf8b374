from __future__ import annotations

import pytest

from spyhop.clock import NS_PER_MS
from spyhop.venuesim.dydx.transactions import Rejected
from spyhop.venuesim.dydx.wallets import TEST_ADDRESS, TEST_PUBLIC_KEY, Wallet, Wallets

NOW_MS = 1_780_000_000_000


def spend(wallet: Wallet, sequence: int) -> bool:
    try:
        wallet.spend(sequence, NOW_MS * NS_PER_MS)
    except Rejected as refused:
        return (refused.codespace, refused.code) != ("sdk", 32)
    return True


def test_sequences_count_up_one_by_one() -> None:
    wallet = Wallet("a", 1)
    assert [spend(wallet, sequence) for sequence in (0, 0, 2, 1)] == [True, False, False, True]


def test_the_last_twenty_times_are_kept_and_nothing_older_is_taken() -> None:
    wallet = Wallet("a", 1)
    assert all(spend(wallet, NOW_MS + number) for number in range(20))
    assert not spend(wallet, NOW_MS + 19)
    assert not spend(wallet, NOW_MS - 1)  # older than all that are kept
    assert spend(wallet, NOW_MS + 20)
    assert len(wallet.nonces) == 20
    assert not spend(wallet, NOW_MS)  # its place went to the newest
    assert spend(wallet, NOW_MS + 40)
    assert spend(wallet, NOW_MS + 30)  # out of order, but newer than the oldest


@pytest.mark.parametrize("offset_ms", [-30_001, 30_001])
def test_times_far_from_the_blocks_are_refused(offset_ms: int) -> None:
    assert not spend(Wallet("a", 1), NOW_MS + offset_ms)


def test_wallets_are_numbered_and_learn_their_key() -> None:
    wallets = Wallets()
    assert wallets.open(TEST_ADDRESS).info()["pub_key"] is None
    assert wallets.add(TEST_PUBLIC_KEY) is wallets[TEST_ADDRESS]
    info = wallets[TEST_ADDRESS].info()
    assert info["account_number"] == "1"
    assert str(info["pub_key"]).startswith("{'@type': '/cosmos.crypto.secp256k1.PubKey'")
    assert wallets.get("dydx1nobody") is None
