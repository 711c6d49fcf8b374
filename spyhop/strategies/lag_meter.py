"""The lag meter: how far each follower is behind its leader, from the paths in the rows of both, as they come."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Annotated, Any

import msgspec
import numpy as np
import numpy.typing as npt

from spyhop.clock import NS_PER_S
from spyhop.errors import SnapshotMismatch
from spyhop.model.observations import LeadLag
from spyhop.model.rows import PATH_STEP_NS, PATH_STEPS, RowFlag
from spyhop.numerics.lead_lag_stream import FOLLOWER, LEADER, Sums, new_sums, read, tell

_LAYOUT = "lag meter 1"


class LagMeterParams(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How far and how long the meter looks; a pair's state is about 46 kB with the defaults."""

    max_lag_s: Annotated[float, msgspec.Meta(ge=0.05, le=30)] = 5.0
    """The longest lag, and lead, that is looked for, in steps of 50 ms."""
    block_s: Annotated[int, msgspec.Meta(ge=1, le=3_600)] = 180
    num_blocks: Annotated[int, msgspec.Meta(ge=2, le=1_000)] = 10
    """The window is this many blocks, the one under way among them."""
    min_changes: Annotated[int, msgspec.Meta(ge=2)] = 100
    """Of either mid within the window: with fewer nothing is said."""


class LagMeter:
    """Measures each follower against its leader; `leaders` has the leader's number by the follower's.

    A pair costs about twenty microseconds a second, and its memory never grows. The same rows give the same
    bits, whichever of the two markets' rows of a second comes first.
    """

    def __init__(self, leaders: Mapping[int, int], params: LagMeterParams | None = None) -> None:
        self._params = params or LagMeterParams()
        self._leaders = dict(leaders)
        num_shifts = round(self._params.max_lag_s * NS_PER_S / PATH_STEP_NS)
        self._pairs = {one: new_sums(num_shifts, self._params.num_blocks, PATH_STEPS) for one in self._leaders}
        self._told: dict[int, list[tuple[Sums, int]]] = {}
        for follower, leader in self._leaders.items():
            self._told.setdefault(follower, []).append((self._pairs[follower], FOLLOWER))
            self._told.setdefault(leader, []).append((self._pairs[follower], LEADER))

    def note(self, row: np.void) -> None:
        """Take one ROW of any instrument, in the order of time; those of no pair and the end's are passed over."""
        concerned = self._told.get(int(row["instrument"]))
        if concerned is None or int(row["flags"]) & RowFlag.END:
            return
        # a copy: what lies in a packed row is aligned or not by chance, and each kind would be compiled apart
        second, path = int(row["ts"]) // NS_PER_S, np.array(row["path"])
        for sums, market in concerned:
            tell(sums, market, second, path, self._params.block_s)

    def lag(self, follower: int) -> LeadLag | None:
        """Return how far `follower` is behind, by the seconds that both told; None without a leader or with too little.

        `window_ns` is the time from the beginning of the oldest block to the newest second, or since the first second.
        """
        sums = self._pairs.get(follower)
        reading = None if sums is None else read(sums)
        if sums is None or reading is None or reading.num_changes < self._params.min_changes:
            return None
        clock = sums.clock[0]
        block_s = self._params.block_s
        whole = int(clock["second"]) + 1 - (int(clock["block"]) + 1 - self._params.num_blocks) * block_s
        return LeadLag(
            lag_ns=reading.shift * PATH_STEP_NS,
            rho=reading.rho,
            ratio=reading.ratio,
            null_95=reading.null_95,
            window_ns=min(whole, int(clock["num_seconds"])) * NS_PER_S,
        )

    def snapshot(self) -> bytes:
        pairs = {one: [array.tobytes() for array in sums] for one, sums in self._pairs.items()}
        return msgspec.msgpack.encode((_LAYOUT, self._params, self._leaders, pairs))

    def restore(self, snapshot: bytes) -> None:
        """Take the state of `snapshot`; raise SnapshotMismatch if its layout, parameters or pairs are not ours."""
        try:
            layout, params, leaders, pairs = msgspec.msgpack.decode(
                snapshot, type=tuple[str, LagMeterParams, dict[int, int], dict[int, list[bytes]]]
            )
        except msgspec.DecodeError as error:
            raise SnapshotMismatch("lag meter", _LAYOUT, "unknown") from error
        if (layout, params, leaders) != (_LAYOUT, self._params, self._leaders):
            raise SnapshotMismatch("lag meter", f"{_LAYOUT} {self._leaders}", f"{layout} {leaders}")
        for one, arrays in pairs.items():
            own: Iterable[npt.NDArray[Any]] = self._pairs[one]
            for array, data in zip(own, arrays, strict=True):
                array[...] = np.frombuffer(data, array.dtype).reshape(array.shape)
