"""The ledger of trials counts every setting ever looked at, once, and opens a final period once."""

from __future__ import annotations

from pathlib import Path

import pytest

from spyhop.errors import JournalDamaged, UserError
from tune.trials import LEDGER_FILE, Opened, Trials


def ledger(folder: Path) -> Trials:
    return Trials(folder / LEDGER_FILE)


def test_every_setting_counts_whichever_sweep_looked_at_it(tmp_path: Path) -> None:
    trials = ledger(tmp_path)
    trials.begin("a", "lead-follow", ["x", "y"], 1)
    trials.look("a", 0, 100)
    trials.look("a", 100, 50)
    trials.begin("b", "spread", ["y"], 2)
    trials.look("b", 0, 7)
    trials.begin("c", "spread", ["z"], 3)
    trials.look("c", 0, 1_000)
    assert ledger(tmp_path).num_trials(["y"]) == 157
    assert ledger(tmp_path).num_trials(["x"]) == 150
    assert ledger(tmp_path).num_trials(["none"]) == 0


def test_the_same_sweep_run_again_is_the_same_trials(tmp_path: Path) -> None:
    for batches in ([(0, 100), (100, 50)], [(0, 30), (30, 90), (120, 30)]):
        trials = ledger(tmp_path)
        trials.begin("a", "spread", ["x"], 1)
        for first, count in batches:
            trials.look("a", first, count)
    assert ledger(tmp_path).num_trials(["x"]) == 150


def test_a_batch_that_is_known_adds_no_line(tmp_path: Path) -> None:
    ledger(tmp_path).begin("a", "spread", ["x"], 1)
    ledger(tmp_path).look("a", 0, 5)
    before = (tmp_path / LEDGER_FILE).read_bytes()
    ledger(tmp_path).begin("a", "spread", ["x"], 2)
    ledger(tmp_path).look("a", 0, 5)
    assert (tmp_path / LEDGER_FILE).read_bytes() == before


def test_a_torn_last_line_was_never_acknowledged(tmp_path: Path) -> None:
    ledger(tmp_path).begin("a", "spread", ["x"], 1)
    ledger(tmp_path).look("a", 0, 5)
    path = tmp_path / LEDGER_FILE
    whole = path.read_bytes()
    for cut in range(1, 12):
        path.write_bytes(whole + whole[:cut])
        trials = ledger(tmp_path)
        assert trials.num_trials(["x"]) == 5
        trials.look("a", 5, 1)
        assert ledger(tmp_path).num_trials(["x"]) == 6


def test_a_whole_line_that_cannot_be_read_is_damage(tmp_path: Path) -> None:
    ledger(tmp_path).begin("a", "spread", ["x"], 1)
    path = tmp_path / LEDGER_FILE
    path.write_bytes(b"{" + path.read_bytes())
    with pytest.raises(JournalDamaged, match="line 1"):
        ledger(tmp_path)


def opening(**changed: object) -> Opened:
    values: dict[str, object] = {"sweep": "a", "data": ("x", "y"), "since": 9, "setting": {"lead.fall_frac": 0.1}}
    return Opened(**(values | {"ts": 1} | changed))  # type: ignore[arg-type]


def test_a_final_period_judges_one_setting(tmp_path: Path) -> None:
    ledger(tmp_path).open_final(opening())
    before = (tmp_path / LEDGER_FILE).read_bytes()
    ledger(tmp_path).open_final(opening(ts=2))
    assert (tmp_path / LEDGER_FILE).read_bytes() == before
    with pytest.raises(UserError, match=r"lead\.fall_frac=0\.1"):
        ledger(tmp_path).open_final(opening(sweep="b", data=("y", "z"), setting={"lead.fall_frac": 0.2}))
    with pytest.raises(UserError, match="record new data"):
        ledger(tmp_path).open_final(opening(since=8))
    ledger(tmp_path).open_final(opening(data=("z",), setting={"lead.fall_frac": 0.2}))
