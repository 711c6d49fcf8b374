import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from contextlib import nullcontext
from pathlib import Path

import numpy as np
import pytest

from cluster import backtest, cli
from cluster.backtest import instant
from spyhop.errors import UserError
from spyhop.model import tape
from spyhop.model.channels import KINDS_OF_CHANNEL
from spyhop.simulation.feed import GenerativeFeed, usual_instrument
from spyhop.storage.journal import read_facts, read_tape
from spyhop.storage.lake import Lake
from spyhop.storage.lake_writer import store

MIDNIGHT = 1_764_288_000_000_000_000
ARGUMENTS = ("--profile", "eager", "--set", "session.symbols=BTCUSDT")


@pytest.fixture(scope="module")
def lake(tmp_path_factory: pytest.TempPathFactory, prepared_kernels: None) -> Path:
    """A lake of a quarter of an hour of BTCUSDT, thin enough to be read in seconds."""
    root = tmp_path_factory.mktemp("lake")
    instrument = usual_instrument("BTCUSDT")
    feed = GenerativeFeed(instrument, seed=5, start_ts=MIDNIGHT, hours=0.25)
    batches = []
    while (batch := feed.next_batch()) is not None:
        batches.append(batch)
    events = tape.joined(batches)
    pieces = []
    for channel, kinds in KINDS_OF_CHANNEL.items():
        some = events[np.isin(events["kind"], kinds)]
        if len(some):
            pieces.append((instrument, channel, some, np.arange(1, len(some) + 1, dtype=np.int64) << 20))
    store(Lake(root), "generated", pieces)
    return root


@pytest.fixture
def said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Callable[..., object]:
    monkeypatch.chdir(tmp_path)

    def say(*arguments: str) -> tuple[int, str, str]:
        code = cli.exit_code(arguments)
        captured = capsys.readouterr()
        return code, captured.out, captured.err

    return say


@pytest.mark.slow
def test_a_lake_is_run_through_and_reported_like_a_session(
    lake: Path, said: Callable[..., tuple[int, str, str]]
) -> None:
    code, out, err = said(
        "backtest", "--lake", str(lake), *ARGUMENTS, "--from", "2025-11-28", "--to", "2025-11-28T00:02", "--json"
    )
    assert (code, err) == (0, "")
    done = json.loads(out)
    assert done["is_finished"]
    assert done["report"]["head"]["mode"] == "backtest"
    # what closes at the end of the span is told in its last instant
    assert "2025-11-28T00:01" < done["report"]["head"]["last_event"] <= "2025-11-28T00:02:00.000"
    assert "no demonstrated edge" in done["report"]["verdict"]["headline"]
    assert Path(done["report_html"]).is_file()
    code, out, _ = said("replay", "latest")
    assert code == 0
    assert "reproduced to the bit" in out
    code, out, err = said("backtest", "--resume", done["session"])
    assert (code, out) == (2, "")
    assert "came to its end" in err


@pytest.mark.slow
def test_one_that_is_killed_and_resumed_ends_with_the_same_journal(
    lake: Path, tmp_path: Path, said: Callable[..., tuple[int, str, str]]
) -> None:
    asked = ["backtest", "--lake", str(lake), *ARGUMENTS, "--checkpoint-minutes", "1", "--json"]
    with subprocess.Popen(
        [sys.executable, "-c", CUT_SMALL, *asked, "--runs", "killed"],
        cwd=tmp_path, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    ) as child:  # fmt: skip
        found = None
        for _ in range(2400):
            found = next(tmp_path.glob("killed/*/checkpoint"), None)
            if found is not None or child.poll() is not None:
                break
            signal.sigtimedwait([], 0.02)
        assert found is not None
        signal.sigtimedwait([], 0.2)
        os.kill(child.pid, signal.SIGKILL)
    assert child.returncode == -signal.SIGKILL
    killed = found.parent
    assert not (killed / "ended").exists()
    before = len(read_facts(killed))
    code, out, err = said("backtest", "--resume", killed.name, "--runs", "killed", "--json")
    assert (code, err) == (0, "")
    resumed = json.loads(out)
    code, out, _ = said(*asked)
    assert code == 0
    whole = json.loads(out)
    assert 0 < before < len(read_facts(killed))
    assert resumed["num_events"] == whole["num_events"]

    def facts(folder: str) -> list[str]:
        # the only thing that two sessions do not share is their name, which their orders bear
        return [repr(entry).replace(Path(folder).name, "session") for entry in read_facts(Path(folder))]

    assert facts(resumed["folder"]) == facts(whole["folder"])
    mine, other = (tape.joined(list(read_tape(Path(one["folder"]), "BTCUSDT"))) for one in (resumed, whole))
    assert np.array_equal(mine, other)


@pytest.mark.slow
def test_ctrl_c_leaves_a_checkpoint_and_says_how_to_go_on(
    lake: Path, said: Callable[..., tuple[int, str, str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("spyhop.wiring.nodes.BACKTEST_SLICE_NS", 1_000_000_000)
    with monkeypatch.context() as patch:
        asked = iter(range(20))
        patch.setattr(backtest, "stopping", lambda: nullcontext(lambda: next(asked, None) is None))
        code, out, err = said("backtest", "--lake", str(lake), *ARGUMENTS)
    (folder,) = Path("runs").glob("s*")
    assert (code, err) == (cli.INTERRUPTED, "spyhop: interrupted\n")
    assert out.startswith("stopped at 2025-11-28 00:00:")
    assert out.endswith(f"go on with: spyhop backtest --resume {folder.name}\n")
    code, out, _ = said("backtest", "--resume", "latest", "--out", "there")
    assert code == 0
    assert "VERDICT: no demonstrated edge" in out
    assert Path("there", "report.html").is_file()


CUT_SMALL = """
import sys
from cluster import cli
from spyhop.wiring import nodes

nodes.BACKTEST_SLICE_NS = 1_000_000_000
sys.exit(cli.exit_code(sys.argv[1:]))
"""


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        ((), "a back-test needs --lake DIR, or --resume SESSION"),
        (("--lake", "nowhere"), "the lake nowhere is empty: import something first"),
        (("--lake", "x", "--resume", "latest"), "--resume goes on with what was begun, so --lake cannot be said again"),
        (("--lake", "x", "--from", "yesterday"), "--from 'yesterday': expected a date or a time such as"),
        (("--lake", "x", "--from", "2025-01-02", "--to", "2025-01-02"), "--from 2025-01-02 is not before"),
        (("--resume", "latest"), "there is no session in runs yet"),
    ],
)
def test_what_cannot_be_is_one_sentence(
    said: Callable[..., tuple[int, str, str]], arguments: tuple[str, ...], sentence: str
) -> None:
    code, out, err = said("backtest", *arguments)
    assert (code, out) == (2, "")
    assert sentence in err


def test_times_are_utc_unless_they_say_otherwise() -> None:
    assert instant("2025-11-28", "--from") == MIDNIGHT
    assert instant("2025-11-28T00:00:00.5", "--from") == MIDNIGHT + 500_000_000
    assert instant("2025-11-28T08:00+08:00", "--from") == MIDNIGHT
    with pytest.raises(UserError):
        instant("28.11.2025", "--to")
