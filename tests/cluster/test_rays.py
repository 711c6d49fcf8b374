from __future__ import annotations

import pytest

from cluster.rays import reach, why_not
from spyhop.errors import UserError


@pytest.mark.parametrize("address", ["127.0.0.1:1", "nowhere", "127.0.0.1:", "http://127.0.0.1:8265"])
def test_where_nobody_listens_is_said_at_once_in_one_sentence(address: str) -> None:
    with pytest.raises(UserError) as refused:
        reach(address)
    assert address in str(refused.value)
    assert "\n" not in str(refused.value)


def test_who_has_the_wrong_token_is_told_so() -> None:
    error = ConnectionError("Failed to connect to Ray cluster at 10.0.0.1:6379")
    assert why_not("auto", error) == f"no Ray answers at auto: {error}"
    error.__cause__ = RuntimeError("RPC error: InvalidAuthToken: Authentication token is missing or incorrect")
    assert "wants another token" in why_not("auto", error)
