"""URLs as they may be shown: in logs and errors, without what gives access."""

from __future__ import annotations

import re
from urllib.parse import urlsplit

_KEY = re.compile(r"[A-Za-z0-9_-]{32,}")


def shown(url: str) -> str:
    """Return `url` without user, query, fragment and path segments that can be keys, such as a listenKey.

    A query may hold a signature or listenKey; a key in a path is what follows /private/ws/, or any segment of 32 or
    more letters and digits.
    """
    parts = urlsplit(url)
    host = parts.netloc.rpartition("@")[2]
    before, private, _ = parts.path.partition("/private/ws/")
    path = before + (private and private + "***")
    return f"{parts.scheme}://{host}" + "/".join("***" if _KEY.fullmatch(part) else part for part in path.split("/"))
