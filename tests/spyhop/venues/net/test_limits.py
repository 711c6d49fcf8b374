from __future__ import annotations

import asyncio
import json
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from spyhop.clock import NS_PER_S, EventClock
from spyhop.errors import Throttled, VenueUnavailable
from spyhop.venues.net.limits import BINANCE_USDM, SLOTS, Counted, Limit, SharedBudget, limits_of, retry_after_s
from spyhop.venues.net.shared_record import SharedRecord

T0 = 1_699_999_980 * NS_PER_S  # a minute's beginning
PER_MINUTE = Limit(Counted.WEIGHT, 60, 2_400)


def test_what_fits_is_let_through_at_once() -> None:
    clock = EventClock(T0)
    budget = SharedBudget(clock, [PER_MINUTE])

    async def work() -> None:
        for _ in range(108):
            await budget.acquire(20)

    asyncio.run(work())
    assert (clock.now_ns(), budget.num_waits) == (T0, 0)
    assert budget.statistics() == {"weight/60": 2_160, "waits": 0, "shut_out": 0}


def test_what_does_not_fit_waits_until_the_oldest_is_forgotten() -> None:
    clock = EventClock(T0)
    budget = SharedBudget(clock, [PER_MINUTE])

    async def work() -> None:
        await budget.acquire(1_000)
        clock.advance(30 * NS_PER_S)
        await budget.acquire(1_160)
        await budget.acquire(1)  # the first 1,000 leave a window and a slot after they were spent

    asyncio.run(work())
    assert clock.now_ns() == T0 + 63 * NS_PER_S


def test_every_limit_must_have_room() -> None:
    clock = EventClock(T0)
    budget = SharedBudget(clock, BINANCE_USDM)

    async def work() -> None:
        for _ in range(270):
            await budget.acquire(0, orders=1)
        assert clock.now_ns() == T0
        await budget.acquire(0, orders=1)

    asyncio.run(work())
    assert clock.now_ns() == T0 + 10 * NS_PER_S + NS_PER_S // 2


def test_what_no_limit_can_hold_is_an_error_of_the_caller() -> None:
    with pytest.raises(ValueError, match="2161 of weight/60"):
        asyncio.run(SharedBudget(EventClock(T0), [PER_MINUTE]).acquire(2_161))


def test_a_clock_may_begin_at_zero() -> None:
    clock = EventClock(0)
    budget = SharedBudget(clock, [PER_MINUTE])

    async def work() -> None:
        await budget.acquire(2_160)
        clock.advance(60 * NS_PER_S)
        await budget.acquire(1)

    asyncio.run(work())
    assert clock.now_ns() == 63 * NS_PER_S


@pytest.mark.parametrize("share", [0.0, 1.1])
def test_a_share_is_a_share(share: float) -> None:
    with pytest.raises(ValueError, match="share"):
        SharedBudget(EventClock(T0), [PER_MINUTE], share=share)


Spending = list[tuple[int, int, int]]


@pytest.mark.slow
@settings(max_examples=200, deadline=None)
@given(
    start=st.integers(0, 120 * NS_PER_S),
    spending=st.lists(
        st.tuples(st.integers(0, 30 * NS_PER_S), st.integers(1, 30), st.integers(0, 2)), min_size=1, max_size=60
    ),
)
def test_no_stretch_of_a_windows_length_holds_more_than_its_limit(start: int, spending: Spending) -> None:
    clock = EventClock(T0 + start)
    limits = [Limit(Counted.WEIGHT, 60, 100), Limit(Counted.ORDERS, 10, 4), Limit(Counted.REQUESTS, 5, 3)]
    budget = SharedBudget(clock, limits, share=1.0)
    done: dict[Counted, list[tuple[int, int]]] = {counted: [] for counted in Counted}

    async def work() -> None:
        for pause, weight, orders in spending:
            clock.advance(pause)
            await budget.acquire(weight, orders)
            now = clock.now_ns()
            for counted, cost in ((Counted.WEIGHT, weight), (Counted.ORDERS, orders), (Counted.REQUESTS, 1)):
                done[counted].append((now, cost))

    asyncio.run(work())
    for limit in limits:
        spent = done[limit.counted]
        for end, _ in spent:
            within = sum(cost for at, cost in spent if end - limit.window_s * NS_PER_S < at <= end)
            assert within <= limit.most


@pytest.mark.slow
@settings(max_examples=100, deadline=None)
@given(pauses=st.lists(st.integers(0, 5 * NS_PER_S), min_size=30, max_size=60))
def test_a_budget_is_used_and_not_only_kept(pauses: list[int]) -> None:
    """Whoever asks too often still gets a limit's worth of every window and a slot."""
    clock = EventClock(T0)
    budget = SharedBudget(clock, [Limit(Counted.REQUESTS, 10, 5)], share=1.0)

    async def work() -> None:
        for pause in pauses:
            clock.advance(pause)
            await budget.acquire()

    asyncio.run(work())
    at_most = sum(pauses) + (len(pauses) // 5 + 1) * 10 * NS_PER_S * (SLOTS + 1) // SLOTS
    assert clock.now_ns() - T0 <= at_most


def test_what_the_venue_counts_beyond_us_is_taken_over() -> None:
    clock = EventClock(T0)
    budget = SharedBudget(clock, BINANCE_USDM)

    async def work() -> None:
        await budget.acquire(100, orders=1)
        await budget.note({"x-mbx-used-weight-1m": "2150", "x-mbx-order-count-10s": "1"}, 200)
        await budget.acquire(10)
        assert clock.now_ns() == T0
        await budget.note({"x-mbx-used-weight-1m": "50"}, 200)  # never down
        await budget.acquire(1)

    asyncio.run(work())
    assert clock.now_ns() == T0 + 63 * NS_PER_S
    assert budget.statistics()["orders/10"] == 0


def test_dydx_tells_what_is_left() -> None:
    clock = EventClock(T0)
    budget = SharedBudget(clock, [Limit(Counted.REQUESTS, 10, 100)])

    async def work() -> None:
        await budget.note({"ratelimit-limit": "100", "ratelimit-remaining": "11", "ratelimit-reset": "1"}, 200)
        await budget.acquire()
        assert clock.now_ns() == T0
        await budget.acquire()

    asyncio.run(work())
    assert clock.now_ns() == T0 + 10 * NS_PER_S + NS_PER_S // 2


@pytest.mark.parametrize(
    "headers", [{}, {"x-mbx-used-weight-1m": "many"}, {"x-mbx-used-weight-7m": "9"}, {"date": "x"}]
)
def test_headers_that_tell_nothing_change_nothing(headers: dict[str, str]) -> None:
    budget = SharedBudget(EventClock(T0), BINANCE_USDM)
    asyncio.run(budget.note(headers, 200))
    assert set(budget.statistics().values()) == {0}


@pytest.mark.parametrize(("status", "told_s", "waits_s"), [(429, 7.0, 7.0), (429, None, 10.0), (418, None, 120.0)])
def test_being_shut_out_stops_everybody_until_it_is_over(
    tmp_path: Path, status: int, told_s: float | None, waits_s: float
) -> None:
    clock = EventClock(T0)
    ours, theirs = (SharedBudget(clock, BINANCE_USDM, tmp_path / "budget", name="usdm") for _ in range(2))

    async def work() -> None:
        await ours.note({}, status, told_s)
        clock.advance(NS_PER_S)
        for budget in (ours, theirs):
            with pytest.raises(Throttled) as told:
                await budget.acquire()
            assert (told.value.url, told.value.status, told.value.retry_after_s) == ("usdm", status, waits_s - 1)
        clock.advance(int(waits_s - 1) * NS_PER_S)
        await theirs.acquire()

    asyncio.run(work())
    assert theirs.statistics()["shut_out"] == 1


def test_a_shorter_ban_does_not_end_a_longer_one() -> None:
    clock = EventClock(T0)
    budget = SharedBudget(clock, BINANCE_USDM)

    async def work() -> None:
        await budget.note({}, 418, 300.0)
        await budget.note({}, 429, 1.0)
        clock.advance(200 * NS_PER_S)
        with pytest.raises(Throttled):
            await budget.acquire()

    asyncio.run(work())


def test_budgets_of_one_file_count_together_and_of_two_apart(tmp_path: Path) -> None:
    clock = EventClock(T0)
    first, second = (SharedBudget(clock, [PER_MINUTE], tmp_path / "budget") for _ in range(2))
    apart = SharedBudget(clock, [PER_MINUTE], tmp_path / "other")

    async def work() -> None:
        await first.acquire(2_000)
        await apart.acquire(2_000)
        await second.acquire(160)
        assert clock.now_ns() == T0
        await second.acquire(1)

    asyncio.run(work())
    assert clock.now_ns() == T0 + 63 * NS_PER_S


def test_after_damage_everything_counts_as_spent_for_one_window(tmp_path: Path) -> None:
    clock = EventClock(T0)
    path = tmp_path / "budget"
    path.write_bytes(b"not a record")
    asyncio.run(SharedBudget(clock, [PER_MINUTE], path).acquire(5))
    assert clock.now_ns() == T0 + 63 * NS_PER_S


@pytest.mark.parametrize("jump_s", [-3_600, 3_600])
def test_a_clock_that_is_set_neither_forgets_nor_waits_for_ever(jump_s: int) -> None:
    clock = EventClock(T0)
    budget = SharedBudget(clock, [PER_MINUTE])
    asyncio.run(budget.acquire(2_160))
    budget._clock = later = EventClock(T0 + jump_s * NS_PER_S)  # a clock that was set cannot be had otherwise
    asyncio.run(budget.acquire(1))
    waited = later.now_ns() - (T0 + jump_s * NS_PER_S)
    assert waited == (63 * NS_PER_S if jump_s < 0 else 0)


def test_a_file_that_cannot_be_had_is_a_venue_that_cannot_be_asked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def work(budget: SharedBudget) -> None:
        await budget.acquire()

    with pytest.raises(VenueUnavailable, match="cannot be kept"):
        asyncio.run(work(SharedBudget(EventClock(T0), [PER_MINUTE], Path("/dev/null/budget"))))
    monkeypatch.setattr("spyhop.venues.net.limits._LOCK_TRIES", 3)
    holder = SharedRecord(tmp_path / "budget")
    assert holder.try_lock()
    with pytest.raises(VenueUnavailable, match="let go"):
        asyncio.run(work(SharedBudget(EventClock(T0), [PER_MINUTE], tmp_path / "budget")))
    holder.unlock()


SPEND = """
import asyncio, sys
from pathlib import Path
from spyhop.clock import ScaledClock
from spyhop.venues.net.limits import Counted, Limit, SharedBudget

clock = ScaledClock(0, 0, 50.0)
budget = SharedBudget(clock, [Limit(Counted.REQUESTS, 10, 40)], Path(sys.argv[1]), share=1.0)

async def spend() -> None:
    for _ in range(int(sys.argv[2])):
        before = clock.now_ns()
        await budget.acquire()
        print(before, clock.now_ns(), flush=True)

asyncio.run(spend())
"""


def spenders(path: Path, num: int, each: int) -> list[subprocess.Popen[bytes]]:
    command = [sys.executable, "-c", SPEND, str(path), str(each)]
    return [subprocess.Popen(command, stdout=subprocess.PIPE) for _ in range(num)]


@pytest.mark.slow
def test_processes_share_one_budget_even_when_one_is_killed(tmp_path: Path) -> None:
    """Four processes on a clock that runs 50 times as fast; one of them dies in the middle."""
    path = tmp_path / "budget"
    processes = spenders(path, 4, 60)
    victim = processes[0]
    assert victim.stdout is not None
    seen = [victim.stdout.readline() for _ in range(10)]
    victim.send_signal(signal.SIGKILL)
    told = b"".join(seen) + b"".join(process.communicate()[0] for process in processes)
    assert [process.returncode for process in processes[1:]] == [0, 0, 0]
    spans = sorted(tuple(map(int, line.split())) for line in told.splitlines() if len(line.split()) == 2)
    assert len(spans) >= 190
    window = 10 * NS_PER_S
    for _, end in spans:  # surely within: asked for and granted inside the stretch
        assert sum(1 for asked, granted in spans if end - window < asked and granted <= end) <= 40
    # and not much slower than the limit permits: 40 each 10.5 s
    took_s = (max(end for _, end in spans) - min(asked for asked, _ in spans)) / NS_PER_S
    assert took_s < (len(spans) // 40 + 2) * 10.5 + 60


def test_limits_are_read_from_exchange_info() -> None:
    body = {
        "rateLimits": [
            {"rateLimitType": "REQUEST_WEIGHT", "interval": "MINUTE", "intervalNum": 1, "limit": 2400},
            {"rateLimitType": "ORDERS", "interval": "SECOND", "intervalNum": 10, "limit": 300},
            {"rateLimitType": "RAW_REQUESTS", "interval": "MINUTE", "intervalNum": 5, "limit": 61000},
            {"rateLimitType": "SOMETHING_NEW", "interval": "MINUTE", "intervalNum": 5, "limit": 1},
            {"rateLimitType": "ORDERS", "interval": "FORTNIGHT", "intervalNum": 1, "limit": 1},
            {"rateLimitType": "ORDERS", "interval": "DAY", "intervalNum": "1", "limit": 1},
            7,
        ]
    }
    limits = (Limit(Counted.WEIGHT, 60, 2_400), Limit(Counted.ORDERS, 10, 300), Limit(Counted.REQUESTS, 300, 61_000))
    assert limits_of(body) == limits
    assert limits_of(json.dumps(body).encode()) == limits


@pytest.mark.parametrize(
    "body", [b"", b"<html>", b"[]", b"null", b'{"rateLimits":5}', b'{"rateLimits":[null]}', b"\xff"]
)
def test_a_body_without_limits_gives_none(body: bytes) -> None:
    assert limits_of(body) == ()
    budget = SharedBudget(EventClock(T0), BINANCE_USDM)
    budget.set_limits(limits_of(body))
    assert budget.limits == BINANCE_USDM


@pytest.mark.parametrize(
    ("file", "limits"),
    [
        ("BINANCE_FUTURES.0", {("weight/60", 2_400), ("orders/60", 1_200), ("orders/10", 300)}),
        ("BINANCE.0", {("weight/60", 1_200), ("orders/10", 50), ("orders/86400", 160_000), ("requests/300", 6_100)}),
    ],
)
def test_recorded_exchange_info_tells_its_limits(recordings: Path, file: str, limits: set[tuple[str, int]]) -> None:
    text = (recordings / "wire" / "cryptofeed" / "sample_data" / file).read_bytes()
    body = next(line[line.index(b"{") :] for line in text.splitlines() if b'"rateLimits"' in line)
    assert {(limit.key, limit.most) for limit in limits_of(body)} == limits


@pytest.mark.parametrize(
    ("value", "unit_s", "seconds"),
    [
        ("5", 1.0, 5.0),
        ("2500", 0.001, 2.5),
        ("0", 1.0, 0.0),
        ("soon", 1.0, None),
        ("-1", 1.0, None),
        ("9e99", 1.0, None),
    ],
)
def test_retry_after_is_counted_in_the_venues_unit(value: str, unit_s: float, seconds: float | None) -> None:
    assert retry_after_s({"retry-after": value}, unit_s) == seconds
    assert retry_after_s({}, unit_s) is None
