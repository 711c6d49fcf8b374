from __future__ import annotations

from pathlib import Path

import msgspec
import pytest

from benchmarks.scale_page import Count, keep, kept, line, page

KINDS = ("feeds", "ensemble", "risk", "executor", "ledger", "conductor", "ray")


def count(symbols: int, lag_ms: float = 5.0, growth_ms: float = 0.0) -> Count:
    """Return a session of which each actor takes 0.01 of a core a symbol, feeds 0.02, Ray 0.1 in all."""
    cores = dict.fromkeys(KINDS, 0.01 * symbols) | {"feeds": 0.02 * symbols, "ray": 0.1, "venue_simulator": 9.0}
    memory = dict.fromkeys(KINDS, 100.0) | {"feeds": 150.0 * symbols, "driver": 9_000.0}
    return Count(
        symbols=symbols,
        frames_per_s=70.0,
        cores=cores,
        memory_mb=memory,
        bare_cores=0.05 * symbols,
        bare_mb=300.0,
        lag_p50_ms=lag_ms,
        lag_p99_ms=2 * lag_ms,
        lag_growth_ms=growth_ms,
        neighbours_cores=0.0,
        machine_used_frac=0.5,
    )


COUNTS = [count(symbols) for symbols in (1, 2, 4, 8)]


def test_simulator_and_driver_are_not_counted() -> None:
    assert count(4).total_cores == pytest.approx(0.07 * 4 + 0.1)
    assert count(4).total_mb == pytest.approx(150.0 * 4 + 600.0)
    assert count(4).ray_share == pytest.approx(1 - 0.2 / 0.38)


@pytest.mark.parametrize(("fixed", "each"), [(0.1, 0.07), (0.0, 0.5), (3.0, 0.0)])
def test_a_line_is_found_again(fixed: float, each: float) -> None:
    found = line(COUNTS, [fixed + each * one.symbols for one in COUNTS])
    assert (found.fixed, found.each) == (pytest.approx(fixed, abs=1e-9), pytest.approx(each, abs=1e-9))


def test_no_part_of_a_line_is_below_zero() -> None:
    assert line(COUNTS, [0.01, 0.1, 0.5, 2.0]).fixed == 0.0
    assert line(COUNTS, [2.0, 1.5, 1.0, 0.5]).each == 0.0


def test_a_thousand_are_computed_from_what_was_measured() -> None:
    text = page(COUNTS, num_cores=2)
    assert "cores: 0.10 + 0.0700 a symbol: 14 more symbols a core" in text
    assert "memory: 600 MB + 150 MB a symbol: 6.8 more symbols a GB" in text
    # half a core of 0.01 a symbol each
    assert "at 50 symbols: 20 sessions of 50 symbols" in text
    # 20 x 0.1 + 1,000 x 0.07 cores, 20 x 600 + 1,000 x 150 MB; by cores 18 hosts, by memory 7
    assert "together 72 cores and 158 GB: 18 hosts of 8 such cores and 32 GB, 50% busy" in text
    assert "No run saturated this machine." in text


@pytest.mark.parametrize("late", [count(16, lag_ms=2_000.0), count(16, growth_ms=3_000.0), count(16, lag_ms=-1.0)])
def test_a_run_that_did_not_keep_up_is_said_and_left_out_of_what_follows(late: Count) -> None:
    slow = msgspec.structs.replace(late, cores={**late.cores, "feeds": 50.0})
    text = page([*COUNTS, slow], num_cores=2)
    assert "This machine is saturated at 16 symbols." in text
    assert "cores: 0.10 + 0.0700 a symbol" in text
    assert "up to 8 symbols" in text


def test_counts_are_kept_and_found_again(tmp_path: Path) -> None:
    path = tmp_path / "counts.jsonl"
    assert kept(path) == {}
    for one in COUNTS:
        keep(path, one)
    assert list(kept(path).values()) == COUNTS
