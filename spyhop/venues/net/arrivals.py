"""Messages that have come and were not taken yet, as they lie between a socket and whoever decodes them."""

from __future__ import annotations

from collections import deque

from spyhop.venues.net.transport import Frame

BATCH_BYTES = 1 << 17
"""What is handed out at once: few enough bytes to stay in a processor's cache while they are decoded."""

_new_frame = tuple.__new__


class Arrivals:
    """A queue of stamped messages, filled by the read and emptied by the batch.

    Messages become frames when they are taken: thousands of objects that wait would be work for the garbage collector.
    """

    def __init__(self) -> None:
        self._pieces: deque[tuple[int, list[bytes], int]] = deque()  # stamp, messages, about how many bytes
        self.num_bytes = 0

    def __bool__(self) -> bool:
        return bool(self._pieces)

    def add(self, stamp: int, messages: list[bytes]) -> None:
        """Append what one read brought; the list is ours from now on."""
        num, size = len(messages), sum(map(len, messages))
        self.num_bytes += size
        if size <= BATCH_BYTES:
            self._pieces.append((stamp, messages, size))
            return
        step = max(num * BATCH_BYTES // size, 1)
        for begin in range(0, num, step):
            piece = messages[begin : begin + step]
            self._pieces.append((stamp, piece, sum(map(len, piece))))

    def take(self) -> list[Frame]:
        """Remove and return the oldest messages, BATCH_BYTES or the next piece of a read, whatever is more."""
        taken: list[Frame] = []
        room = BATCH_BYTES
        while self._pieces and (not taken or self._pieces[0][2] <= room):
            stamp, messages, size = self._pieces.popleft()
            self.num_bytes -= size
            room -= size
            taken += [_new_frame(Frame, (stamp, message)) for message in messages]
        return taken

    def clear(self) -> None:
        """Forget everything."""
        self._pieces.clear()
        self.num_bytes = 0
