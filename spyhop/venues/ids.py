"""Whose order it is, by its client order id."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import TypeAlias

IsOurs: TypeAlias = Callable[[str], bool]
"""Says whether a client order id was made up by a session of ours."""

_OURS = re.compile(r"s\d{8}_\d{6}_\d{6}-\S+")


def made_by_us(client_order_id: str) -> bool:
    """Return whether the id has the shape of `identity.client_order_id`, of whatever session."""
    return _OURS.fullmatch(client_order_id) is not None
