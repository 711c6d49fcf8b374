"""Compiled code that only borrows the arrays it is given.

Numba counts the references to every array that a kernel takes, two atomic steps for each call of each helper: in code
that reads text byte by byte through small helpers that is most of the time. Kernels that neither make an array nor
keep one need no count; those that make one are refused when they are compiled.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

from spyhop.numerics import _jit

F = TypeVar("F", bound=Callable[..., Any])


def kernel(function: F) -> F:
    """Compile `function` as `_jit.kernel` does, but without counting references; arrays may be views, never new."""
    compiled = _jit.kernel(function)
    # read when a signature is compiled; numba has no public name for it in front of that
    vars(compiled)["targetoptions"]["_nrt"] = False
    return compiled
