"""A sweep from plan to result: judged by every trial ever made, written whole, its final period opened once."""

from __future__ import annotations

from pathlib import Path

import msgspec
import numpy as np
import pyarrow.parquet as pq
import pytest

from spyhop.config.settings import Settings
from spyhop.errors import MissingInput, UserError
from spyhop.research.sweeps.model import SweepResult
from tests.tune import toys
from tune.batches import Batches
from tune.grounds import Asked, Ground
from tune.space import Axis, Space
from tune.sweep import Found, Plan, planned, read_plan, run, sweep_id, write_plan
from tune.trials import Opened, Trials

STEPS = tuple(step / 10_000 for step in range(1, 9))
SPACE = Space((Axis(path="lead.fall_frac", values=STEPS), Axis(path="lead.rise_frac", values=STEPS)))
PERIODS = 120


def plan(**changed: object) -> Plan:
    return msgspec.structs.replace(
        planned(Asked(objective="toy", lake="lake"), SPACE, "grid", Settings(), seed=1), **changed
    )


def ground(data: tuple[str, ...] = ("a",), **toy: float) -> Ground:
    objective = toys.Momentum(num_periods=PERIODS, **toy)
    return Ground(objective, toys.prices(count=12_000), data, "a toy", 3_600.0)


def ran(folder: Path, plan: Plan, ground: Ground, **more: bool) -> Found:
    return run(plan, ground, folder / "out", Trials(folder / "trials.jsonl"), **more)  # type: ignore[arg-type]


def test_the_same_plan_over_the_same_recordings_is_the_same_sweep() -> None:
    assert sweep_id(plan(), ("a",)) == sweep_id(plan(min_trades=99), ("a",))
    elsewhere = Asked(objective="toy", lake="moved")
    assert sweep_id(plan(), ("a",)) == sweep_id(plan(asked=elsewhere), ("a",))
    others = [plan(seed=2), plan(search="random"), plan(samples=7), plan(asked=Asked(objective="x", lake="lake"))]
    assert len({sweep_id(one, ("a",)) for one in [plan(), *others]} | {sweep_id(plan(), ("b",))}) == 6


def test_a_folder_holds_one_sweep(tmp_path: Path) -> None:
    write_plan(tmp_path, plan())
    write_plan(tmp_path, plan())
    assert sweep_id(read_plan(tmp_path), ("a",)) == sweep_id(plan(), ("a",))
    with pytest.raises(UserError, match="another sweep"):
        write_plan(tmp_path, plan(seed=2))
    with pytest.raises(MissingInput):
        read_plan(tmp_path / "nowhere")


@pytest.mark.ray
@pytest.mark.slow
def test_a_sweep_of_noise_has_no_edge_and_keeps_the_final_period_shut(local_ray: None, tmp_path: Path) -> None:
    found = ran(tmp_path, plan(), ground(raises_above=0.00075))
    result = found.result
    assert result is not None
    assert not result.verdict.has_edge
    assert result.num_settings == 56
    assert result.num_trials == found.num_looked == 64
    assert not result.final_opened
    written = msgspec.json.decode((tmp_path / "out" / "sweep.json").read_bytes(), type=SweepResult)
    assert written.verdict == result.verdict
    assert result.verdict.headline in (tmp_path / "out" / "sweep.html").read_text()
    table = pq.read_table(tmp_path / "out" / "settings.parquet").to_pydict()
    assert table["lead.rise_frac"][:8] == list(STEPS)
    assert [bool(reason) for reason in table["failed"][:8]] == [False] * 7 + [True]
    # not even in the table of all settings
    shut = result.final.num_periods
    assert {len(row) for row in table["pnl"]} == {PERIODS - shut}
    assert table["net"][0] == pytest.approx(float(found.swept.pnl[0, : PERIODS - shut].sum(dtype=np.float64)))


@pytest.mark.ray
@pytest.mark.slow
def test_what_earns_on_a_made_up_market_is_called_that_and_no_edge(local_ray: None, tmp_path: Path) -> None:
    found = ran(tmp_path, plan(), ground()._replace(is_simulated=True))
    assert found.result is not None
    assert found.result.is_simulated
    assert not found.result.verdict.has_edge
    assert "SIMULATED DATA" in (tmp_path / "out" / "sweep.html").read_text()


@pytest.mark.ray
@pytest.mark.slow
def test_every_trial_ever_made_counts(local_ray: None, tmp_path: Path) -> None:
    first = ran(tmp_path / "one", plan(), ground())
    trials = Trials(tmp_path / "trials.jsonl")
    counts = []
    for folder, sweep, data in (
        ("one", plan(), ("a", "b")),
        ("again", plan(), ("a", "b")),
        ("sample", plan(search="random", samples=20), ("b", "c")),
        ("elsewhere", plan(), ("d",)),
    ):
        found = run(sweep, ground(data), tmp_path / folder, trials)
        assert found.result is not None
        counts.append(found.result.num_trials)
    assert first.result is not None
    assert counts == [64, 64, 64 + len(sampled := sweep_points()), 64]
    assert 0 < len(sampled) <= 20


def sweep_points() -> np.ndarray:
    return SPACE.sample(20, np.random.default_rng(1))


@pytest.mark.ray
@pytest.mark.slow
def test_the_final_period_is_opened_once(local_ray: None, tmp_path: Path) -> None:
    found = ran(tmp_path, plan(), ground(), open_final=True)
    assert found.result is not None
    assert found.result.final_opened
    assert found.result.chosen_final is not None
    trials = Trials(tmp_path / "trials.jsonl")
    (opened,) = [fact for fact in trials.facts() if isinstance(fact, Opened)]
    assert found.result.chosen is not None
    assert list(opened.setting.values()) == found.result.chosen.setting
    assert {len(row) for row in pq.read_table(tmp_path / "out" / "settings.parquet").to_pydict()["pnl"]} == {PERIODS}
    # the same setting may be looked at again, another one not
    again = ran(tmp_path, plan(), ground(), open_final=True)
    assert again.swept.num_run == 0
    rest = Space((Axis(path="lead.fall_frac", values=(0.00013, 0.00023)), Axis(path="lead.rise_frac", values=STEPS)))
    with pytest.raises(UserError, match="can judge no other setting"):
        run(plan(space=rest), ground(), tmp_path / "other", trials, open_final=True)


@pytest.mark.ray
@pytest.mark.slow
def test_what_was_stopped_is_told_and_goes_on(local_ray: None, tmp_path: Path) -> None:
    trials = Trials(tmp_path / "trials.jsonl")
    reached: list[int] = []
    stopped = run(
        plan(),
        ground(),
        tmp_path / "out",
        trials,
        on_progress=lambda pace, what: reached.append(pace.done),
        should_stop=lambda: bool(reached),
    )
    assert stopped.result is None
    done = int(stopped.swept.is_done.sum())
    assert 0 < done < 64
    found = ran(tmp_path, plan(), ground())
    assert found.swept.num_run == 64 - done
    assert found.result is not None
    assert found.result.num_trials == 64


def test_one_process_at_a_time(tmp_path: Path) -> None:
    with Batches(tmp_path / "out" / "batches"), pytest.raises(UserError, match="another process"):
        ran(tmp_path, plan(), ground())


@pytest.mark.ray
@pytest.mark.slow
@pytest.mark.storm
def test_what_a_search_proposed_is_judged_whole(local_ray: None, tmp_path: Path) -> None:
    found = ran(tmp_path, plan(search="optuna", samples=12), ground())
    assert found.result is not None
    assert found.result.num_trials == 12
    assert found.result.num_settings == found.num_looked <= 12
