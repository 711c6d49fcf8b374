from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from spyhop import identity
from spyhop.venues.ids import made_by_us

TIMES = st.integers(1_600_000_000 * 10**9, 2_500_000_000 * 10**9)


@given(ts=TIMES, sequence=st.integers(0, 10**7), suffix=st.sampled_from(["", ".3", "-t"]))
def test_what_a_session_makes_up_is_ours(ts: int, sequence: int, suffix: str) -> None:
    assert made_by_us(identity.client_order_id(identity.session_id(ts), sequence) + suffix)


def test_what_others_make_up_is_not() -> None:
    for name in ("", "web_abc", "x-cvBPrNm9123", "autoclose-1", "adl_autoclose", "s20251128_171500", "s1-000001"):
        assert not made_by_us(name)
