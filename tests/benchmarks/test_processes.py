from __future__ import annotations

import os
import subprocess
import sys

from benchmarks.processes import cpu_s, machine_cpu_s, tree, usages

HELD_MB = 64
CHILD = f"import sys; held = b'x' * ({HELD_MB} << 20); print('ready', flush=True); sys.stdin.read()"


def test_what_a_child_holds_is_told_under_the_name_it_is_known_by() -> None:
    child = subprocess.Popen([sys.executable, "-c", CHILD], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    assert child.stdin is not None
    assert child.stdout is not None
    try:
        assert child.stdout.readline() == b"ready\n"
        assert child.pid in tree(os.getpid())
        told = {one.pid: one for one in usages({child.pid: "feed:BTCUSDT"})}
    finally:
        child.stdin.close()
        child.wait()
        child.stdout.close()
    assert told[os.getpid()].name == "driver"
    one = told[child.pid]
    assert (one.name, one.kind, one.is_ray) == ("feed:BTCUSDT", "feeds", False)
    assert HELD_MB <= one.own_mb < 2 * HELD_MB
    assert one.own_mb <= one.pss_mb


def test_processor_time_grows_with_work_and_the_machine_counts_it_too() -> None:
    before, machine = cpu_s(os.getpid()), machine_cpu_s()
    while cpu_s(os.getpid()) - before < 0.05:
        sum(range(10_000))
    used, there = (now - then for now, then in zip(machine_cpu_s(), machine, strict=True))
    assert 0.03 <= used <= there + 0.03
