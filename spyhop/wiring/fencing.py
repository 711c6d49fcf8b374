"""The fence around an account: of all executors that believe they are its own, one sends.

The right to send is a lease in a file beside the sessions, so every machine that may carry an executor must see that
folder. It is looked at after a request was signed, just before it leaves.
"""

from __future__ import annotations

import asyncio
import hashlib
import logging
import os
import socket
from pathlib import Path

from spyhop.clock import NS_PER_S, Clock, WallClock
from spyhop.errors import StorageFailed, VenueUnavailable
from spyhop.storage.lease import Lease, this_machine
from spyhop.venues.endpoints import Endpoints

log = logging.getLogger(__name__)

RENEW_EVERY_S = 1.0
ASK_EVERY_S = 0.2
SAY_EVERY_S = 10.0


class Fence:
    """Holds the right to send for one account while `run` runs."""

    def __init__(self, account: str, lease: Lease, clock: Clock) -> None:
        self._account, self._lease, self._clock = account, lease, clock

    @property
    def epoch(self) -> int:
        """Return how many owners the account has had, this one included; 0 before it is ours."""
        return self._lease.epoch

    def check(self) -> None:
        """Raise VenueUnavailable, which says that nothing was executed, while the right is not ours."""
        if not self._lease.is_held:
            raise VenueUnavailable(self._account, 0, "this process has not the right to trade the account")

    async def hold(self) -> None:
        """Wait until the account is ours. Raise StorageFailed where nobody can say whose it is."""
        said = 0
        while not await asyncio.to_thread(self._lease.take):
            now = self._clock.monotonic_ns()
            if not said or now - said > SAY_EVERY_S * NS_PER_S:
                said = now
                log.warning("%s is traded by %s; waiting", self._account, _name(self._lease))
            await self._clock.sleep(ASK_EVERY_S)
        log.info("%s is ours, epoch %d", self._account, self.epoch)

    async def run(self) -> None:
        """Keep the right until cancelled, then give it back; raise StorageFailed when another has it."""
        renewing: asyncio.Future[bool] | None = None
        try:
            while True:
                await self._clock.sleep(RENEW_EVERY_S)
                renewing = asyncio.get_running_loop().run_in_executor(None, self._lease.renew)
                if not await asyncio.shield(renewing):
                    raise StorageFailed(str(self._lease.path), f"{self._account} belongs to {_name(self._lease)} now")
        finally:
            if renewing is not None:
                # one that is under way would take again what is given back
                await asyncio.wait({renewing})
            self._lease.release()


def fence_of(runs: Path, account: str, endpoints: Endpoints, url: str) -> Fence:
    """Return the fence of an account whose sessions lie in `runs`; each simulator, told by `url`, has its own."""
    which = f"-{hashlib.blake2b(url.encode(), digest_size=4).hexdigest()}" if endpoints.is_simulated else ""
    path = runs / "accounts" / f"{account.replace(':', '_')}{which}.lease"
    clock = WallClock()
    owner = f"{socket.gethostname()}:{os.getpid()}:{clock.now_ns()}"
    return Fence(account, Lease(path, owner, this_machine(), clock), clock)


def _name(lease: Lease) -> str:
    holder = lease.holder()
    return "nobody" if holder is None else f"{holder.owner}, epoch {holder.epoch}"
