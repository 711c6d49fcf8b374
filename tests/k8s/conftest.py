"""The objects of both overlays, as they would be applied."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.k8s.rendering import Object, build

K8S = Path(__file__).resolve().parents[2] / "k8s"


@pytest.fixture(scope="session", params=["paper", "live"])
def overlay(request: pytest.FixtureRequest) -> Path:
    """The folder of each overlay in turn."""
    folder: Path = K8S / "overlays" / request.param
    return folder


@pytest.fixture(scope="session")
def objects(overlay: Path) -> list[Object]:
    """What the overlay comes to. Tests that change one make a copy of it."""
    return build(overlay)
