"""The Ray that a command works on: one of our own on this machine, or one that is there and is named."""

from __future__ import annotations

import contextlib
import os
import socket
from collections.abc import Iterator
from typing import Any

import ray

from spyhop.config.secrets import HANDED, NAMES, withheld
from spyhop.errors import UserError

NAMESPACE = "spyhop"
LOCAL, AUTO = "local", "auto"
ANSWERS_WITHIN_S = 3.0
NICENESS = 19
"""Of what can wait, such as the tasks of a sweep: they take what is left of a machine on which a session trades."""
_YIELDING = {"worker_process_setup_hook": "cluster.rays.give_way"}


@contextlib.contextmanager
def local_ray(*, dashboard: bool, num_cpus: int | None = None, is_yielding: bool = False) -> Iterator[Any]:
    """Start a Ray of our own on this machine and stop it afterwards; never join one that is there.

    Its processes inherit this one's environment but the keys; an executor knows where to read those. With
    `is_yielding` the workers give way to all else on the machine.
    """
    with _without_keys():
        context = ray.init(
            address=LOCAL,
            namespace=NAMESPACE,
            num_cpus=num_cpus,
            include_dashboard=dashboard,
            log_to_driver=False,
            configure_logging=False,
            runtime_env=_YIELDING if is_yielding else None,
        )
        try:
            yield context
        finally:
            ray.shutdown()


@contextlib.contextmanager
def _without_keys() -> Iterator[None]:
    keys = {name: os.environ[name] for name in NAMES if name in os.environ}
    if not keys:
        yield
        return
    memory = withheld(os.environ)
    try:
        yield
    finally:
        os.close(memory)
        del os.environ[HANDED]
        os.environ.update(keys)


@contextlib.contextmanager
def joined_ray(address: str, *, is_yielding: bool = False) -> Iterator[Any]:
    """Join the Ray at `address` (HOST:PORT, or auto), and leave it as it is afterwards; UserError where none is.

    With `is_yielding` the workers of this job give way to all else on their machines, also to those of other jobs.
    """
    reach(address)
    try:
        context = ray.init(
            address=address,
            namespace=NAMESPACE,
            log_to_driver=False,
            configure_logging=False,
            runtime_env=_YIELDING if is_yielding else None,
        )
    except (ConnectionError, ValueError, RuntimeError) as error:
        raise UserError(why_not(address, error)) from error
    try:
        yield context
    finally:
        ray.shutdown()


def give_way() -> None:
    """Let everything else on this machine go first from now on; nothing takes that back, so jobs share no workers."""
    os.nice(NICENESS)


def reach(address: str) -> None:
    """Raise UserError unless somebody listens at `address`: Ray itself would try for minutes."""
    if address == AUTO:
        return
    host, colon, port = address.rpartition(":")
    if "//" in address or not (colon and port.isdecimal()):
        raise UserError(f"{address} is no Ray's address: expected HOST:PORT, such as 10.0.0.10:6379, or auto")
    try:
        socket.create_connection((host, int(port)), ANSWERS_WITHIN_S).close()
    except (OSError, OverflowError) as error:
        raise UserError(f"no Ray answers at {address}: {error}") from error


def why_not(address: str, error: BaseException) -> str:
    """Return in one sentence why the Ray at `address` could not be joined."""
    causes: list[BaseException] = [error]
    while (cause := causes[-1].__cause__) is not None:
        causes.append(cause)
    if any("AuthToken" in str(one) for one in causes):
        return f"the Ray at {address} wants another token than RAY_AUTH_MODE and RAY_AUTH_TOKEN_PATH give"
    return f"no Ray answers at {address}: {str(error).splitlines()[0]}"
