"""The one decorator of compiled code, and the one place that says where compiled code is kept.

Numba's own cache looks only at the file of the function it caches: change a kernel that another one inlines
and the stale machine code is used. So the cache lies in a folder named after a digest of every source that
holds kernels; a change anywhere compiles anew, and a second start compiles nothing.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar, cast

import numba
from numba.core import config

F = TypeVar("F", bound=Callable[..., Any])

_ROOT = Path(__file__).resolve().parent.parent
_KERNEL_ROOMS = ("numerics", "market", "detectors", "simulation", "venues", "model", "research")


def _sources_digest() -> str:
    digest = hashlib.sha256(f"{numba.__version__}".encode())
    for room in _KERNEL_ROOMS:
        for source in sorted((_ROOT / room).rglob("*.py")):
            digest.update(source.relative_to(_ROOT).as_posix().encode())
            digest.update(source.read_bytes())
    return digest.hexdigest()[:16]


def cache_dir() -> Path:
    """Return the folder of the compiled kernels of this very source tree."""
    home = os.environ.get("SPYHOP_KERNEL_CACHE")
    base = Path(home) if home else Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache")) / "spyhop"
    return base / "kernels" / _sources_digest()


# numba makes its settings attributes as it reads the environment, so no type checker knows them
vars(config)["CACHE_DIR"] = str(cache_dir())


def kernel(function: F) -> F:
    """Compile `function` on its first call and keep the machine code on disk.

    Division by zero follows IEEE (inf, nan) instead of raising; floating-point sums are never reordered, so a
    result is the same bits on every run of one machine.
    """
    return cast(F, numba.njit(cache=True, error_model="numpy", fastmath=False, nogil=True)(function))
