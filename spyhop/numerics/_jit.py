"""The one decorator of compiled code, and the one place that says where compiled code is kept.

Numba's own cache looks only at the file of the function it caches: change a kernel that another one inlines
and the stale machine code is used. So the machine code of each module lies in a folder named after a digest of that
module and of everything of ours that it imports; a change compiles anew what it can reach and nothing else, and a
second start compiles nothing.
"""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any, TypeVar, cast

import numba
from numba.core import config

F = TypeVar("F", bound=Callable[..., Any])

_PACKAGE = "spyhop"
_ROOT = Path(__file__).resolve().parent.parent.parent
_IMPORT = re.compile(rb"^from (spyhop[\w.]*) import (\([^)]*\)|[^\n]*)|^import (spyhop[\w.]*)", re.MULTILINE)
_NAME = re.compile(rb"\w+")


def cache_root() -> Path:
    """Return the folder under which all compiled kernels lie."""
    home = os.environ.get("SPYHOP_KERNEL_CACHE")
    base = Path(home) if home else Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache")) / "spyhop"
    return base / "kernels"


@cache
def digest_of(module: str) -> str:
    """Return a digest of the source of `module` and of every source of ours that it imports, however indirectly."""
    digest = hashlib.sha256(numba.__version__.encode())
    reached: set[str] = set()
    waiting = [module]
    while waiting:
        name = waiting.pop()
        if name not in reached:
            reached.add(name)
            waiting += _imports(name)
    for name in sorted(reached):
        digest.update(name.encode())
        digest.update(_source(name) or b"")
    return digest.hexdigest()[:16]


@cache
def _source(module: str) -> bytes | None:
    path = _ROOT.joinpath(*module.split("."))
    for source in (path.with_suffix(".py"), path / "__init__.py"):
        if source.is_file():
            return source.read_bytes()
    return None


@cache
def _imports(module: str) -> tuple[str, ...]:
    found: list[str] = []
    for origin, names, plain in _IMPORT.findall(_source(module) or b""):
        parent = (origin or plain).decode()
        found.append(parent)
        found += [f"{parent}.{name.decode()}" for name in _NAME.findall(names)]
    return tuple(name for name in found if _source(name) is not None)


def kernel(function: F) -> F:
    """Compile `function` on its first call and keep the machine code on disk.

    Division by zero follows IEEE (inf, nan) instead of raising; floating-point sums are never reordered, so a
    result is the same bits on every run of one machine.
    """
    module = function.__module__
    # our own code only: a kernel of a test or a script is not a file that can be found by its name
    folder = f"{module}-{digest_of(module)}" if module.split(".")[0] == _PACKAGE else "elsewhere"
    # numba makes its settings attributes as it reads the environment, so no type checker knows them
    vars(config)["CACHE_DIR"] = str(cache_root() / folder)
    return cast(F, numba.njit(cache=True, error_model="numpy", fastmath=False, nogil=True)(function))
