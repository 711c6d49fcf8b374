"""Batches on disk are whole or not there, and one process writes them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from spyhop.errors import UserError
from tune.batches import Batch, Batches


def batch(first: int, count: int, periods: int = 3) -> Batch:
    pnl = np.arange(count * periods, dtype=np.float32).reshape(count, periods) + first
    return Batch(first, pnl, np.arange(count, dtype=np.int32), {0: "why"} if first else {})


def test_what_was_kept_comes_back_in_order(tmp_path: Path) -> None:
    with Batches(tmp_path) as batches:
        for one in (batch(5, 2), batch(0, 5)):
            batches.keep(one)
    with Batches(tmp_path) as batches:
        first, second = batches.kept(3)
    assert (first.first, first.stop, second.first, second.stop) == (0, 5, 5, 7)
    assert second.pnl.tobytes() == batch(5, 2).pnl.tobytes()
    assert second.num_trades.tolist() == [0, 1]
    assert (first.failures, second.failures) == ({}, {0: "why"})


def test_a_damaged_file_is_as_if_it_were_not_there(tmp_path: Path) -> None:
    with Batches(tmp_path) as batches:
        batches.keep(batch(0, 5))
        batches.keep(batch(5, 5))
        whole = (tmp_path / "000000000-000000005.npz").read_bytes()
        for damaged in (whole[:-30], b"", whole[:200] + bytes([whole[200] ^ 1]) + whole[201:]):
            path = tmp_path / "000000000-000000005.npz"
            path.write_bytes(damaged)
            assert [one.first for one in batches.kept(3)] == [5]
            assert not path.exists()


def test_settings_that_were_kept_twice_count_once(tmp_path: Path) -> None:
    with Batches(tmp_path) as batches:
        for one in (batch(0, 5), batch(3, 5), batch(5, 5), batch(10, 2, periods=4)):
            batches.keep(one)
        assert [(one.first, one.stop) for one in batches.kept(3)] == [(0, 5), (5, 10)]


def test_one_process_sweeps_into_a_folder(tmp_path: Path) -> None:
    with Batches(tmp_path), pytest.raises(UserError, match="another process"):
        Batches(tmp_path)
    with Batches(tmp_path):
        pass
