"""A session on three machines by `ray up`: whatever is killed or cut off, it goes on, and its books are the venue's.

Opt-in: `make cluster-test`, as root, alone on the machine. One session lives through everything.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from benchmarks.latency import LIVELY
from spyhop.clock import NS_PER_S, WallClock
from spyhop.model.entries import Entry
from spyhop.storage.journal import read_facts
from tests.deploy import books
from tests.deploy.books import HEADINGS, Row, Sight, Wrong
from tests.deploy.lab import HEAD, HOSTS, MARKET, RUNS, Lab, Watch, address, database, told_by, venue

pytestmark = [pytest.mark.cluster, pytest.mark.timeout(3_600)]

CLOCK = WallClock()
Act = Callable[[], object]
WIDE = "BTCUSDT,ETHUSDT,SOLUSDT,XRPUSDT,BNBUSDT,DOGEUSDT,ADAUSDT,LTCUSDT"
SYMBOLS = "BTCUSDT,ETHUSDT,SOLUSDT"
ACCOUNT = "binance-usdm:main"
KINDS = ("feed:", "ensemble", "risk", "executor:", "ledger", "conductor")
QUIET_S, ACTOR_S, HOST_S, CUT_S = 20.0, 25.0, 60.0, 30.0
DECIDED_S, SENT_S = 1.2, 5.0
"""How far apart decisions and orders are when all is well; before a blow all may still be ill from the last one."""
LEASE_S = 5.5
"""What another machine waits beyond the end of a right to send."""


def until(holds: Callable[[], object], seconds: float, what: str, every_s: float = 0.5) -> None:
    for _ in range(int(seconds / every_s)):
        if holds():
            return
        time.sleep(every_s)
    raise AssertionError(f"within {seconds:g} s it did not come to: {what}")


@pytest.fixture(scope="module")
def lab() -> Iterator[Lab]:
    needed = subprocess.run(["bash", str(HOSTS), "needs"], capture_output=True, text=True, check=False)
    assert needed.returncode == 0, needed.stderr
    made = Lab(Path(tempfile.mkdtemp(prefix="lab-")))
    try:
        made.begin()
        said(f"ray up, three machines: {made.up():.0f} s")
        yield made
    finally:
        made.end()
        if not os.environ.get("LAB_KEEP"):
            shutil.rmtree(made.folder)


@pytest.fixture(scope="module")
def admin(lab: Lab) -> Iterator[str]:
    with venue(lab, WIDE) as url:
        yield url


@pytest.fixture(scope="module")
def ledger(lab: Lab) -> Iterator[str]:
    with database(lab) as url:
        yield url


def said(text: str) -> None:
    # past pytest's own capture: who waits for an hour wants to see that something happens
    os.write(2, f"{text}\n".encode())


def run_of(symbols: str, ledger: str, *more: str) -> str:
    settings = " ".join(
        f"--set '{name}={value}'"
        for name, value in (LIVELY | {"decision.exits.max_hold_s": "4", "session.ledger_url": ledger}).items()
    )
    there = f"--address auto --venues /srv/venues.json --runs {RUNS} --profile eager --symbols {symbols}"
    return f"spyhop run {there} --hours 24 --interval 1 --json {' '.join(more)} {settings}"


def folder_of(lab: Lab, mode: str) -> Path:
    def found() -> list[Path]:
        heads = lab.runs.glob("*/session.json")
        return sorted(head.parent for head in heads if json.loads(head.read_bytes())["mode"] == mode)

    until(found, 300, f"a {mode} session")
    return found()[-1]


def decides(folder: Path, count: int) -> Callable[[], bool]:
    return lambda: len({e.message.instrument for e in read_facts(folder) if e.stage == "decision"}) == count


def test_a_job_with_our_sources_runs_a_paper_session_over_all_market_machines(
    lab: Lab, admin: str, ledger: str
) -> None:
    sources = lab.folder / "shared" / "sources"
    for name in ("spyhop", "actors", "serve", "tune", "cluster"):
        shutil.copytree(Path(__file__).parents[2] / name, sources / name, ignore=shutil.ignore_patterns("__pycache__"))
    lab.submit("paper", run_of(WIDE, ledger, "--paper"), "--working-dir /srv/sources")
    folder = folder_of(lab, "paper")
    until(decides(folder, 8), 300, "decisions about all eight symbols")
    watch = Watch(lab)
    until(lambda: len(watch.now()) >= 13, 60, "thirteen actors")
    assert {where for _, where, _ in watch.now().values()} == {address(number) for number in MARKET}
    lab.submit("status", "spyhop status --address auto", "--working-dir /srv/sources")
    until(lambda: lab.state_of("status") == "SUCCEEDED", 120, "the end of the other job")
    said(lab.said("status"))
    assert "feed:LTCUSDT" in lab.said("status")
    said(lab.on_head("spyhop drain --address auto"))
    until(lambda: lab.state_of("paper") == "SUCCEEDED", 120, "the end of the session's job")
    said(lab.said("paper"))
    assert "reproduced to the bit" in lab.on_head(f"spyhop replay {folder.name} --runs {RUNS}")


class Play:
    """One live session, what was done to it, and what came of that."""

    def __init__(self, lab: Lab, admin: str, ledger: str) -> None:
        self.lab, self.admin = lab, admin
        self.blows: list[tuple[str, int, int, float]] = []
        more = "--live --leverage 5 --set doctor.may_key_withdraw=true"
        lab.submit("live", f"echo live | {run_of(SYMBOLS, ledger, more)}")
        self.folder = folder_of(lab, "live")
        self.sight = Sight(self.folder)
        self.watch = Watch(lab)
        until(decides(self.folder, 3), 300, "decisions about all three symbols")
        until(lambda: len(self.sent()) > 20, 300, "twenty requests at the venue")

    def sent(self) -> list[tuple[int, str, str, str]]:
        return [(at, account, where, what) for at, account, where, what in told_by(self.admin)["sent"]]

    def requests(self) -> list[int]:
        return [at for at, _, _, what in self.sent() if what.startswith("POST") and what.endswith("rder")]

    def actor(self, kind: str) -> tuple[str, int, int]:
        """Return name, machine and process of the first actor of a kind that is alive."""
        for name, (state, where, pid) in sorted(self.watch.now().items()):
            if name.startswith(kind) and state == "ALIVE":
                return name, next(number for number in MARKET if address(number) == where), pid
        raise AssertionError(f"there is no {kind}")

    def blow(self, what: str, strike: Act, seconds: float, mend: Act | None = None) -> None:
        """Let it be well for a while, strike, put right what nobody else does, and give it time."""
        time.sleep(QUIET_S)
        before = self.watch.lines()[-1]
        at = CLOCK.now_ns()
        strike()
        if mend is not None:
            mend()
        time.sleep(max(0.0, seconds - (CLOCK.now_ns() - at) / NS_PER_S))
        changed = [when for when, *told in self.watch.lines() if when > at and told != before[1:]]
        noticed = (changed[0] - at) / NS_PER_S if changed else float("nan")
        self.blows.append((what, at, CLOCK.now_ns(), noticed))
        said(str(self.row(len(self.blows) - 1, [])))

    def row(self, number: int, found: list[Wrong]) -> Row:
        what, at, until_, noticed = self.blows[number]
        requests, begin = self.requests(), at - int(QUIET_S * NS_PER_S)
        next_at = self.blows[number + 1][1] if number + 1 < len(self.blows) else CLOCK.now_ns()
        mine = [one for one in found if at <= one.ts < next_at]
        return Row(
            what,
            noticed,
            max(
                books.back_s(times, at, until_, min(books.usual_s(times, begin, at), DECIDED_S))
                for times in self.sight.decided.values()
            ),
            books.back_s(requests, at, until_, min(books.usual_s(requests, begin, at), SENT_S)),
            books.usual_s(requests, begin, at),
            sum(not one.is_double for one in mine),
            sum(one.is_double for one in mine),
        )

    def kill(self, kind: str) -> None:
        name, machine, pid = self.actor(kind)
        self.blow(name, lambda: self.lab.on(machine, f"kill -9 {pid}"), ACTOR_S)


@pytest.fixture(scope="module")
def play(lab: Lab, admin: str, ledger: str) -> Iterator[Play]:
    played = Play(lab, admin, ledger)
    yield played
    played.sight.end()


@pytest.mark.parametrize("kind", KINDS)
def test_a_killed_actor_comes_back(play: Play, kind: str) -> None:
    play.kill(kind)
    play.actor(kind)


def test_a_killed_raylet_takes_its_actors_and_they_come_back_elsewhere(play: Play, lab: Lab) -> None:
    _, machine, _ = play.actor("executor:")
    play.blow(f"raylet of spyhop{machine}", lambda: lab.on(machine, "kill -9 $(pgrep -x raylet)"), HOST_S)
    assert_all_alive(play)


def test_a_machine_that_is_gone_is_replaced_by_the_others(play: Play, lab: Lab) -> None:
    joined(play)
    _, machine, _ = play.actor("executor:")
    play.blow(f"machine spyhop{machine}", lambda: lab.hosts("kill", str(machine)), HOST_S)
    assert_all_alive(play)
    lab.hosts("start", str(machine), str(lab.python))
    joined(play)


def test_of_two_sides_of_a_cut_network_one_sends(play: Play, lab: Lab) -> None:
    joined(play)
    _, machine, _ = play.actor("executor:")
    begin = CLOCK.now_ns()

    def mend() -> None:
        time.sleep(CUT_S)
        lab.hosts("mend", str(machine))

    play.blow(f"spyhop{machine} cut off for {CUT_S:g} s", lambda: lab.hosts("cut", str(machine)), 180.0, mend)
    turns = books.senders([one for one in play.sent() if one[0] > begin - 20 * NS_PER_S])
    said("".join(f"{where}: {count} requests in {(last - first) / 1e9:.1f} s\n" for where, first, last, count in turns))
    assert len(turns) <= 2, turns
    for (_, _, last, _), (_, first, _, _) in pairwise(turns):
        assert first - last > LEASE_S * NS_PER_S
    assert_all_alive(play)


def test_actors_go_on_without_the_table_of_ray_and_without_the_head(play: Play, lab: Lab) -> None:
    joined(play)
    play.blow("GCS", lambda: lab.on_head("kill -9 $(pgrep -x gcs_server)"), ACTOR_S)
    back = lab.up("--restart-only")
    said(f"ray up --restart-only after the GCS: {back:.0f} s")
    play.watch.begin()

    def again() -> None:
        lab.hosts("start", str(HEAD), str(lab.python))
        said(f"the head again: {lab.up('--restart-only'):.0f} s")
        play.watch.begin()

    play.blow("head machine", lambda: lab.hosts("kill", str(HEAD)), HOST_S, again)
    assert_all_alive(play)


def test_in_the_end_the_books_are_the_venues_and_the_session_replays(play: Play, lab: Lab) -> None:
    said(lab.on_head("spyhop drain --address auto"))
    entries: list[Entry] = read_facts(play.folder)
    account: dict[str, Any] = told_by(play.admin)["accounts"][ACCOUNT]
    found = books.wrong(entries, account)
    said("\n".join([HEADINGS, *(str(play.row(number, found)) for number in range(len(play.blows)))]))
    said("\n".join(one.text for one in found))
    said(lab.on_head(f"spyhop replay {play.folder.name} --runs {RUNS} 2>&1 || true"))
    assert found == []
    assert books.unrepaired(entries) == []
    assert set(account["positions"].values()) <= {0}
    assert "reproduced to the bit" in lab.on_head(f"spyhop replay {play.folder.name} --runs {RUNS}")


def joined(play: Play) -> None:
    """Wait until all machines are in Ray's table; start Ray by hand where the autoscaler has given up."""
    everywhere = sorted(address(number) for number in (HEAD, *MARKET))

    def are_there(seconds: float) -> bool:
        return any(play.watch.lines()[-1][2] == everywhere or time.sleep(1.0) for _ in range(int(seconds)))

    if not are_there(90):
        missing = [number for number in MARKET if address(number) not in play.watch.lines()[-1][2]]
        said(f"Ray is started by hand on {', '.join(f'spyhop{number}' for number in missing)}")
        for number in missing:
            play.lab.start_ray(number)
        assert are_there(90), "not all machines are in Ray's table"
    # a machine that has just joined is watched only after its first five seconds
    time.sleep(6.0)


def assert_all_alive(play: Play) -> None:
    until(lambda: {state for state, _, _ in play.watch.now().values()} == {"ALIVE"}, 120, "everybody alive")
