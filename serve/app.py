"""The application that Ray Serve runs for the models: so far it says that it is well and that it holds no model."""

from __future__ import annotations

from typing import Any

import msgspec
from ray import serve as ray_serve


class NoArguments(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What may be asked of the application: nothing yet."""


class Models:
    """A replica. Feeds and executors never live in one: an upgrade runs two at once."""

    async def __call__(self, request: object) -> dict[str, Any]:
        """Answer a request of any path with how this replica is and which models it holds."""
        return {"status": "ok", "models": []}


def build(arguments: dict[str, Any]) -> ray_serve.Application:
    """Return the application; raise ValidationError for arguments that nobody reads."""
    msgspec.convert(arguments, NoArguments)
    application: ray_serve.Application = ray_serve.deployment()(Models).bind()
    return application
