"""A process whose raylet is dead leaves: its machine counts as lost, and its copy begins elsewhere.

Ray looks for this only where orphans fall to process 1; under systemd, or in a container, another process takes them,
and they would live on with files locked.
"""

from __future__ import annotations

import logging
import os

log = logging.getLogger(__name__)

EXIT_ORPHANED = 71


class Parent:
    """Whoever started this process."""

    def __init__(self) -> None:
        self._pid = os.getppid()

    def leave_without(self) -> None:
        """Leave the process at once when its parent is dead."""
        if os.getppid() != self._pid:
            log.error("the raylet is dead; leaving")
            os._exit(EXIT_ORPHANED)
