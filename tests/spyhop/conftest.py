"""Oracles that need a process of their own."""

from __future__ import annotations

import importlib.util
import json
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest


@pytest.fixture(scope="session")
def dydx_protos() -> Iterator[Callable[..., dict[str, Any]]]:
    """Ask the chain's public protobuf package; see dydx_protos.py for what may be asked."""
    if importlib.util.find_spec("v4_proto") is None:
        pytest.skip("the package v4-proto is not installed")
    script = Path(__file__).with_name("dydx_protos.py")
    with subprocess.Popen(
        [sys.executable, "-W", "ignore", str(script)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        asking, answering = process.stdin, process.stdout
        assert asking is not None
        assert answering is not None

        def ask(**question: Any) -> dict[str, Any]:
            asking.write(json.dumps(question) + "\n")
            asking.flush()
            return dict(json.loads(answering.readline()))

        yield ask
        asking.close()
