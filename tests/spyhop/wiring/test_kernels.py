from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from spyhop.numerics._jit import cache_root, digest_of
from spyhop.wiring import kernels, nodes

SESSION = """
import sys
from pathlib import Path
from spyhop.clock import WallClock
from spyhop.config.settings import SessionConfig, Settings
from spyhop.wiring import kernels
from spyhop.wiring.plan import RunRequest, plan_session
from spyhop.wiring.sessions import replay, run_local
kernels.prepare()
config = SessionConfig(symbols=("BTCUSDT",), hours=0.005, speed=float(sys.argv[2]), runs=sys.argv[1])
plan = plan_session(Settings(session=config), RunRequest(), WallClock())
run_local(plan)
assert replay(plan.folder).difference is None
"""


def compiled(cache: Path) -> dict[str, int]:
    """Return the files of a cache with their times: an index that was written again counts, too."""
    return {str(path): path.stat().st_mtime_ns for path in cache.rglob("*") if path.is_file()}


def test_a_second_start_compiles_nothing(tmp_path: Path, prepared_kernels: None) -> None:
    # a copy, because other sessions may be compiling into the real one right now
    cache = tmp_path / "kernels"
    cache.mkdir()
    for entry in cache_root().iterdir():
        module, _, digest = entry.name.rpartition("-")
        if entry.is_dir() and module and digest == digest_of(module):
            shutil.copytree(entry, cache / entry.name)
        elif entry.is_file():
            shutil.copy2(entry, cache)
    before = compiled(cache)
    assert any(path.endswith(".nbc") for path in before)
    done = subprocess.run(
        [sys.executable, "-c", SESSION, str(tmp_path / "runs"), "100"],
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
        env=os.environ | {"SPYHOP_KERNEL_CACHE": str(tmp_path)},
    )
    assert done.returncode == 0, done.stderr
    assert compiled(cache) == before


class Line:
    """A pipeline that only counts how often it ran."""

    num_runs = 0

    def __init__(self, *args: Any) -> None: ...

    def run(self) -> None:
        type(self).num_runs += 1


def test_kernels_are_prepared_once_for_a_source_tree(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SPYHOP_KERNEL_CACHE", str(tmp_path))
    monkeypatch.setattr(nodes, "pipeline", Line)
    assert not kernels.are_prepared()
    kernels.prepare()
    assert kernels.are_prepared()
    kernels.prepare()
    assert Line.num_runs == 1


def test_another_copy_and_a_newer_file_are_prepared_anew(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tree = tmp_path / "tree"
    tree.mkdir()
    (tree / "compiled.py").write_text("@kernel\ndef f(): ...\n")
    (tree / "plain.py").write_text("def f(): ...\n")
    copy = shutil.copytree(tree, tmp_path / "copy")  # times are copied, too
    monkeypatch.setenv("SPYHOP_KERNEL_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(nodes, "pipeline", Line)
    monkeypatch.setattr(kernels, "_SOURCES", tree)
    kernels.prepare()
    os.utime(tree / "plain.py", ns=(1, 1))
    assert kernels.are_prepared()
    monkeypatch.setattr(kernels, "_SOURCES", copy)
    assert not kernels.are_prepared()
    monkeypatch.setattr(kernels, "_SOURCES", tree)
    os.utime(tree / "compiled.py", ns=(1, 1))
    assert not kernels.are_prepared()


def test_a_preparation_that_failed_is_made_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SPYHOP_KERNEL_CACHE", str(tmp_path))

    def broken(*args: Any) -> Line:
        raise MemoryError

    monkeypatch.setattr(nodes, "pipeline", broken)
    with pytest.raises(MemoryError):
        kernels.prepare()
    assert not kernels.are_prepared()
