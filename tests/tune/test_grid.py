"""The grid on Ray is the plain loop, whatever fails or dies on the way."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import ray

from tests.tune import toys
from tune.batches import Batch, Batches
from tune.grid import Pace, Swept, evaluate_all, evaluate_plainly

ROOT = Path(__file__).resolve().parents[2]


def swept(objective: toys.Momentum, count: int = 333, **more: object) -> Swept:
    return evaluate_all(objective, toys.prices(), toys.NAMES, toys.grid(count), **more)  # type: ignore[arg-type]


def plain(count: int = 333) -> np.ndarray:
    return evaluate_plainly(toys.Momentum(), toys.prices(), toys.NAMES, toys.grid(count))[0].pnl


def test_a_setting_that_raises_is_found_by_halving() -> None:
    settings = toys.grid(100)
    earned, failures = evaluate_plainly(toys.Momentum(raises_above=0.0025), toys.prices(), toys.NAMES, settings)
    expected = np.flatnonzero(settings[:, 1] > 0.0025)
    assert sorted(failures) == expected.tolist()
    assert set(failures.values()) == {"ValueError: above what this objective can bear"}
    others = np.setdiff1d(np.arange(100), expected)
    assert earned.pnl[others].tobytes() == plain(100)[others].tobytes()
    assert not earned.pnl[expected].any()
    assert not earned.num_trades[expected].any()


def test_what_is_not_a_number_is_a_failure() -> None:
    arrays = toys.prices()
    arrays["returns"][100] = np.nan
    earned, failures = evaluate_plainly(toys.Momentum(), arrays, toys.NAMES, toys.grid(3))
    assert len(failures) == 3
    assert np.isfinite(earned.pnl).all()


@pytest.mark.ray
@pytest.mark.slow
def test_it_is_the_plain_loop(local_ray: None) -> None:
    paces: list[Pace] = []
    batches: list[Batch] = []
    found = swept(toys.Momentum(), on_progress=paces.append, on_batch=batches.append)
    assert found.pnl.tobytes() == plain().tobytes()
    assert found.is_done.all()
    assert found.num_run == 333
    assert sum(len(batch.pnl) for batch in batches) == 333
    assert [pace.done for pace in paces] == sorted(pace.done for pace in paces)
    assert paces[-1].done == paces[-1].total == 333
    assert paces[-1].rate > 0.0
    assert paces[-1].left_s == 0.0


@pytest.mark.ray
@pytest.mark.slow
def test_batches_grow_to_the_time_that_was_asked(local_ray: None) -> None:
    sizes: list[int] = []
    swept(toys.Momentum(seconds=0.001), 800, batch_s=0.1, on_batch=lambda batch: sizes.append(len(batch.pnl)))
    assert sizes[0] == 1
    assert 20 < max(sizes) <= 100


@pytest.mark.ray
@pytest.mark.slow
def test_failing_settings_do_not_end_it(local_ray: None) -> None:
    found = swept(toys.Momentum(raises_above=0.0028))
    failing = np.flatnonzero(toys.grid(333)[:, 1] > 0.0028)
    assert sorted(found.failures) == failing.tolist()
    assert found.is_done.sum() == 333 - len(failing)
    assert found.pnl[found.is_done].tobytes() == plain()[found.is_done].tobytes()


@pytest.mark.ray
@pytest.mark.slow
def test_a_killed_worker_changes_no_byte(local_ray: None, tmp_path: Path) -> None:
    died = tmp_path / "died"
    found = swept(toys.Momentum(once=str(died)))
    assert died.exists()
    assert found.pnl.tobytes() == plain().tobytes()
    assert found.num_run == 333
    assert not found.failures


@pytest.mark.ray
@pytest.mark.slow
def test_a_setting_that_kills_every_worker_is_found_and_left_out(local_ray: None) -> None:
    settings = toys.grid(20)
    limit = float((settings[0, 1] + settings[1, 1]) / 2)
    found = swept(toys.Momentum(kills_above=limit), 20)
    assert list(found.failures) == [0]
    assert "killed" in found.failures[0]
    assert found.pnl[1:].tobytes() == plain(20)[1:].tobytes()


@pytest.mark.ray
@pytest.mark.slow
def test_workers_map_the_arrays_and_copy_nothing(local_ray: None, tmp_path: Path) -> None:
    log = tmp_path / "log"
    arrays = {"returns": np.random.default_rng(0).normal(0.0, 0.001, 24 * 100_000)}
    evaluate_all(toys.Momentum(log=str(log)), arrays, toys.NAMES, toys.grid(12))
    lines = [line.split() for line in log.read_text().splitlines()]
    assert {writeable for _, _, writeable, _ in lines} == {"False"}
    # every process reads the object store's own shared memory
    mapped = {where for _, _, _, where in lines}
    assert all("plasma" in where or "/dev/shm" in where for where in mapped), mapped


@pytest.mark.ray
@pytest.mark.slow
def test_it_stops_when_asked_and_goes_on_where_it_was(local_ray: None, tmp_path: Path) -> None:
    reached: list[int] = []
    with Batches(tmp_path) as batches:
        first = swept(
            toys.Momentum(),
            batches=batches,
            batch_s=0.01,
            on_batch=lambda batch: reached.append(len(batch.pnl)),
            should_stop=lambda: sum(reached) > 50,
        )
    done = int(first.is_done.sum())
    assert 50 < done < 333
    with Batches(tmp_path) as batches:
        second = swept(toys.Momentum(), batches=batches)
    assert second.num_run == 333 - done
    assert second.pnl.tobytes() == plain().tobytes()


@pytest.mark.ray
@pytest.mark.slow
def test_a_killed_driver_goes_on_without_doing_anything_twice(local_ray: None, tmp_path: Path) -> None:
    address = ray.get_runtime_context().gcs_address
    command = [sys.executable, "-m", "tests.tune.driver", str(tmp_path), address, "400", "0.005"]
    with subprocess.Popen(command, cwd=ROOT, stderr=subprocess.DEVNULL) as driver:
        waited = 0.0
        while len(list(tmp_path.glob("*.npz"))) < 6 and waited < 60.0 and driver.poll() is None:
            time.sleep(0.02)
            waited += 0.02
        driver.send_signal(signal.SIGKILL)
    kept = {path: path.stat().st_mtime_ns for path in tmp_path.glob("*.npz")}
    num_kept = sum(int(path.stem[10:]) - int(path.stem[:9]) for path in kept)
    assert 6 <= num_kept < 400
    with Batches(tmp_path) as batches:
        found = swept(toys.Momentum(), 400, batches=batches)
    assert found.num_run == 400 - num_kept
    assert found.pnl.tobytes() == plain(400).tobytes()
    assert np.array_equal(np.argsort(found.pnl.sum(axis=1)), np.argsort(plain(400).sum(axis=1)))
    assert {path: path.stat().st_mtime_ns for path in kept} == kept


@pytest.mark.ray
@pytest.mark.slow
def test_a_node_lost_in_the_middle_changes_no_ranking(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "tests.tune.losing_a_node", str(tmp_path), "600", "0.01"]
    run = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=200, check=False)
    assert run.returncode == 0, run.stderr[-2000:]
    said = json.loads(run.stdout.splitlines()[-1])
    assert said["same"]
    assert said["same_ranking"]
    assert said["done"] == said["run"] == 600
    assert said["nodes"] >= 2
    assert said["doomed"] > 0
    assert said["alive"] == 2
