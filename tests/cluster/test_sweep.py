"""`spyhop sweep`: what cannot be swept is said before anything starts; what was swept is said verdict first."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import pytest
import ray
from typer.testing import CliRunner, Result

from cluster import sweep as sweeps
from cluster.cli import app
from spyhop.errors import UserError
from spyhop.wiring import data

ROOT = Path(__file__).parents[2]
GRID = ("--param", "lead.fall_frac=0.0005:0.002:0.0005", "--param", "lead.rise_frac=0.0005:0.002:0.0005")


@pytest.fixture(scope="session")
def lake(recordings: Path, tmp_path_factory: pytest.TempPathFactory) -> str:
    """A lake of a week of minutes of Binance and dYdX."""
    folder = tmp_path_factory.mktemp("sweep") / "lake"
    data.import_data([recordings / "binance_dydx_1m" / "BTC_1m.parquet"], str(folder), lambda progress: None)
    return str(folder)


@pytest.fixture
def connected(local_ray: None, monkeypatch: pytest.MonkeyPatch) -> None:
    """The Ray of the test run in the place of one that the command starts."""

    @contextmanager
    def there(address: str) -> Iterator[None]:
        assert address == sweeps.LOCAL
        yield

    monkeypatch.setattr(sweeps, "_connected", there)
    monkeypatch.delenv(sweeps.ADDRESS, raising=False)


def swept(folder: Path, arguments: Sequence[str]) -> Result:
    return CliRunner().invoke(app, ["sweep", "--runs", str(folder / "runs"), *arguments])


@pytest.mark.ray
@pytest.mark.slow
def test_a_week_of_minutes_is_swept_and_gone_on_with(connected: None, lake: str, tmp_path: Path) -> None:
    told = swept(tmp_path, ["--lake", lake, "--symbols", "BTC", *GRID])
    assert told.exit_code == 0, told.output
    assert told.output.startswith("no demonstrated edge")
    assert "16 settings looked at now, 16 ever on these recordings" in told.output
    (folder,) = (tmp_path / "runs" / "sweeps").iterdir()
    assert {path.name for path in folder.iterdir()} == {
        "batches", "plan.json", "sweep.json", "sweep.html", "settings.parquet",
    }  # fmt: skip
    before = (folder / "sweep.json").read_bytes()
    for name in ("latest", folder.name, str(folder)):
        again = swept(tmp_path, ["--resume", name, "--json"])
        assert again.exit_code == 0, again.output
        assert json.loads(again.stdout)["id"] == folder.name
        assert json.loads(again.stdout)["result"]["num_trials"] == 16
    assert (folder / "sweep.json").read_bytes() == before
    opened = swept(tmp_path, ["--resume", "latest", "--open-final"])
    assert opened.exit_code == 0, opened.output
    assert '"type":"opened"' in (tmp_path / "runs" / "trials.jsonl").read_text()


@pytest.mark.ray
@pytest.mark.slow
@pytest.mark.storm
def test_whole_back_tests_are_searched_step_by_step(
    connected: None, recordings: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    data.import_data([recordings / "binance_raw" / "usdm_btcusdt_20240808.gz"], "lake", lambda progress: None)
    told = CliRunner().invoke(
        app,
        ["sweep", "--objective", "backtest", "--lake", "lake", "--symbols", "BTCUSDT", "--search", "asha",
         "--param", "decision.filter.min_probability=0.02:0.3", "--samples", "5", "--period-s", "1",
         "--set", "decision.exits.max_hold_s=20", "--set", "decision.filter.min_confidence=0.01"],
    )  # fmt: skip
    assert told.exit_code == 0, told.output
    assert told.output.startswith("no demonstrated edge")
    assert "5 settings looked at now, 5 ever on these recordings" in told.output
    (folder,) = (tmp_path / "runs" / "sweeps").iterdir()
    walked = [json.loads(line) for line in (folder / "search" / "looked.jsonl").read_text().splitlines()]
    assert not any(step["reason"] for step in walked)
    assert {step["number"] for step in walked} >= set(range(1, 9))


@pytest.mark.ray
@pytest.mark.slow
def test_too_short_data_is_said_before_anything_is_tried(connected: None, lake: str, tmp_path: Path) -> None:
    told = swept(tmp_path, ["--lake", lake, "--symbols", "BTC", *GRID, "--period-s", "43200"])
    assert isinstance(told.exception, UserError)
    assert "too few to train on" in str(told.exception)
    assert not (tmp_path / "runs" / "trials.jsonl").exists()


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--lake", "LAKE", "--symbols", "BTC"], "something that varies"),
        ([*GRID], "--lake DIR"),
        (["--lake", "LAKE", *GRID], "say who follows whom"),
        (["--lake", "LAKE", "--symbols", "BTC,ETH", *GRID], "one pair at a time"),
        (["--lake", "LAKE", "--symbols", "BTC", "--param", "lead.fal_frac=0.1"], "did you mean 'lead.fall_frac'"),
        (["--lake", "LAKE", "--symbols", "BTC", "--param", "lead.fall_frac=0.1:0.2"], "needs the step"),
        (["--lake", "LAKE", "--symbols", "BTC", *GRID, "--search", "guess"], "no search 'guess'"),
        (["--lake", "LAKE", "--symbols", "BTC", *GRID, "--objective", "gain"], "no objective 'gain'"),
        (["--lake", "LAKE", "--symbols", "BTC", *GRID, "--address", "127.0.0.1:1"], "no Ray answers at 127.0.0.1:1"),
        (["--resume", "nowhere"], "there is no sweep in"),
        (["--resume", "latest"], "no sweep in"),
        (["--resume", "x", "--lake", "LAKE"], "leave out --lake"),
    ],
)
def test_what_cannot_be_swept_is_one_sentence(lake: str, tmp_path: Path, arguments: list[str], said: str) -> None:
    given = [lake if argument == "LAKE" else argument for argument in arguments]
    result = swept(tmp_path, given)
    assert isinstance(result.exception, UserError)
    assert said in str(result.exception)
    assert "\n" not in str(result.exception)


def test_a_job_is_told_its_address_by_the_environment(
    monkeypatch: pytest.MonkeyPatch, lake: str, tmp_path: Path
) -> None:
    monkeypatch.setitem(os.environ, sweeps.ADDRESS, "127.0.0.1:2")
    result = swept(tmp_path, ["--lake", lake, "--symbols", "BTC", *GRID])
    assert "no Ray answers at 127.0.0.1:2" in str(result.exception)


GIVING_WAY = """
import os, ray, sys
from cluster import sweep
with sweep._connected(sys.argv[1]):
    priority = ray.remote(lambda: os.getpriority(os.PRIO_PROCESS, 0))
    print(ray.get(priority.options(num_cpus=0).remote()), os.getpriority(os.PRIO_PROCESS, 0))
"""


@pytest.mark.ray
@pytest.mark.slow
def test_workers_of_a_sweep_give_way_to_whoever_trades(local_ray: None) -> None:
    address = ray.get_runtime_context().gcs_address
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    said = subprocess.run(
        [sys.executable, "-c", GIVING_WAY, address], env=environment, capture_output=True, text=True, check=True
    )
    assert said.stdout.split() == ["19", "0"]
    # those of another job on the same Ray do not
    priority = ray.remote(lambda: os.getpriority(os.PRIO_PROCESS, 0))
    assert ray.get(priority.options(num_cpus=0).remote()) == 0
