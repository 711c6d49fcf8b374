from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numba.core.errors import TypingError

from spyhop.numerics import _borrowed, _jit


def borrowed_last(values: Any) -> int:
    view = values[1:]
    return int(view[len(view) - 1])


def counted_last(values: Any) -> int:
    view = values[1:]
    return int(view[len(view) - 1])


def fresh(n: int) -> int:
    return len(np.zeros(n))


@pytest.fixture(autouse=True)
def empty_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SPYHOP_KERNEL_CACHE", str(tmp_path))  # what comes from a cache cannot be looked into


def counts(compiled: Any) -> bool:
    (assembly,) = compiled.inspect_asm().values()
    return "NRT_" in assembly


def test_a_view_is_read_without_counting_references() -> None:
    borrowed, counted = _borrowed.kernel(borrowed_last), _jit.kernel(counted_last)
    values = np.arange(5)
    assert borrowed(values) == counted(values) == 4
    assert counts(counted)
    assert not counts(borrowed)


def test_a_new_array_is_refused() -> None:
    with pytest.raises(TypingError):
        _borrowed.kernel(fresh)(3)
