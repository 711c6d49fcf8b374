"""The grid on Ray is the plain loop, whatever fails or dies on the way."""

from __future__ import annotations

import pytest

from tests.tune import toys
from tune.grid import evaluate_all, evaluate_plainly


@pytest.mark.ray
def test_it_is_the_plain_loop(local_ray: None) -> None:
    arrays, settings = toys.prices(), toys.grid(333)
    plain, _ = evaluate_plainly(toys.Momentum(), arrays, toys.NAMES, settings)
    swept = evaluate_all(toys.Momentum(), arrays, toys.NAMES, settings)
    assert swept.pnl.tobytes() == plain.pnl.tobytes()
    assert swept.num_trades.tolist() == plain.num_trades.tolist()
    assert swept.is_done.all()
    assert swept.num_run == 333
