"""A dYdX subaccount: its snapshot, then what happens to it with every block, and the blocks themselves.

The blocks share the connection. They show every second that it lives and that no message is missing, and their heights,
told between the orders, let a reader know when a short-term order has expired, of which the venue says nothing.
Messages are told by their ids: one that is late is waited for, one that stays away ends the connection.
"""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from typing import TypeAlias

import msgspec

from spyhop.errors import ConnectionLost, VenueError, VenueRefused
from spyhop.venues.dydx import endpoints as names
from spyhop.venues.dydx import wire
from spyhop.venues.dydx.message_ids import MessageIds, Order
from spyhop.venues.endpoints import DydxEndpoints
from spyhop.venues.live.private_adapter import Heard
from spyhop.venues.net.transport import Dial, Frame, Socket

SubaccountEvent: TypeAlias = wire.SubaccountState | wire.SubaccountUpdate | wire.Height
"""What is told of a subaccount: the state at first, then changes; and every block.

Changes right behind a state may be part of it already; fills are known by their ids.
"""

NOT_A_MESSAGE = "not a message of the indexer"
NOT_CONTENTS = "contents that are not the channel's"
OTHER = "another channel or subaccount"
_POLICY_VIOLATION, _ABNORMAL = 1008, 1006
_NUM_SUBSCRIPTIONS = 2

_Contents: TypeAlias = wire.Subscribed | wire.ChannelData | wire.ChannelBatchData


class DydxPrivate:
    """The stream of the subaccount `number` of `address`; a PrivateAdapter."""

    def __init__(self, endpoints: DydxEndpoints, address: str, number: int = 0, *, name: str = "dydx private") -> None:
        self.name, self.life_s = name, 0.0
        self._url, self._subject = endpoints.ws, f"{address}/{number}"

    async def join(self, dial: Dial, now: int) -> _Connection:
        """Open a connection and subscribe; the snapshot is the first event."""
        connection = _Connection(await dial(self._url), self.name, self._subject)
        try:
            connection.socket.send(names.subscribe(names.SUBACCOUNTS, self._subject))
            connection.socket.send(names.subscribe(names.BLOCK_HEIGHT))
            while not connection.is_joined:
                connection.take(await connection.socket.frames(), connection.early)
                if connection.early.end is not None:
                    raise connection.early.end
        except BaseException:
            await connection.socket.close()
            raise
        return connection

    def identity(self, event: SubaccountEvent) -> Hashable:
        """Return the height of a block, which the first answer may repeat; message ids tell what else is repeated."""
        return event.block_height or event.height if isinstance(event, wire.Height) else None


class _Connection:
    """One connection with both subscriptions."""

    def __init__(self, socket: Socket, name: str, subject: str) -> None:
        self.socket = socket
        self.early: Heard[SubaccountEvent] = Heard()
        self.is_joined = False
        self._name, self._subject = name, subject
        self._ids = MessageIds(_NUM_SUBSCRIPTIONS)
        self._num_unanswered = _NUM_SUBSCRIPTIONS
        self._next = 0
        self._held: dict[int, tuple[wire.Message, Frame]] = {}

    def decode(self, frames: Sequence[Frame]) -> Heard[SubaccountEvent]:
        """Turn frames into events."""
        heard: Heard[SubaccountEvent] = Heard()
        self.take(frames, heard)
        return heard

    async def keep(self, now: int) -> None:
        """Look whether a message stays away; blocks come by themselves."""
        if self._ids.has_gap(now):
            raise self._gap()

    def take(self, frames: Sequence[Frame], heard: Heard[SubaccountEvent]) -> None:
        """Add what frames come to; nothing after what ends the connection."""
        for frame in frames:
            if heard.end is None:
                heard.end = self._take(frame, heard)

    def _take(self, frame: Frame, heard: Heard[SubaccountEvent]) -> VenueError | None:
        try:
            message = wire.message(frame.data)
        except wire.UNREADABLE:
            heard.set_aside.append((NOT_A_MESSAGE, frame.data))
            return None
        if isinstance(message, wire.Error):
            return self._take_error(message, heard)
        if self._ids.on(message.message_id, frame.ts_recv) is Order.REPEATED:
            heard.ignored["message id seen before"] += 1
            return None
        self._held[message.message_id] = message, frame
        end: VenueError | None = None
        while self._next in self._held and end is None:
            end = self._tell(*self._held.pop(self._next), heard)
            self._next += 1
        if end is None and self._ids.has_gap(frame.ts_recv):
            end = self._gap()
        return end

    def _take_error(self, error: wire.Error, heard: Heard[SubaccountEvent]) -> VenueError | None:
        # answered subscriptions cannot fail any more, and nothing else is ever asked for
        if self._num_unanswered:
            return VenueRefused(self._name, 400, 0, error.message[:300])
        heard.ignored["complaint of the venue"] += 1
        return None

    def _tell(self, message: wire.Message, frame: Frame, heard: Heard[SubaccountEvent]) -> VenueError | None:
        if isinstance(message, wire.Unsubscribed):
            return ConnectionLost(self._name, _POLICY_VIOLATION, "the venue ended the subscription")
        if not isinstance(message, _Contents):
            heard.ignored["greeting"] += 1
            return None
        if isinstance(message, wire.Subscribed):
            self._num_unanswered = max(0, self._num_unanswered - 1)
            self._ids.on_answer()
        is_ours = message.channel == names.SUBACCOUNTS and message.id == self._subject
        if not is_ours and message.channel != names.BLOCK_HEIGHT:
            heard.ignored[OTHER] += 1
            return None
        try:
            events = _events(message)
        except wire.UNREADABLE:
            heard.set_aside.append((NOT_CONTENTS, frame.data))
            # what happened to the account cannot be known from here on; a block can be done without
            return ConnectionLost(self._name, _ABNORMAL, NOT_CONTENTS) if is_ours else None
        heard.events += [(frame.ts_recv, event) for event in events]
        self.is_joined = self.is_joined or (is_ours and isinstance(message, wire.Subscribed))
        return None

    def _gap(self) -> ConnectionLost:
        return ConnectionLost(self._name, _ABNORMAL, "a message is missing")


def _events(message: _Contents) -> list[SubaccountEvent]:
    parts: list[msgspec.Raw] = message.contents if isinstance(message, wire.ChannelBatchData) else [message.contents]
    if message.channel == names.BLOCK_HEIGHT:
        return [wire.height(part) for part in parts]
    if isinstance(message, wire.Subscribed):
        return [wire.subaccount_state(part) for part in parts]
    return [wire.subaccount_update(part) for part in parts]
