"""Who signed a request: HMAC-SHA256 over the query and body exactly as they came, and the time it was made for."""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Mapping, Sequence
from urllib.parse import unquote

from spyhop.venuesim.binance.errors import BinanceError, missing
from spyhop.venuesim.keys import ApiKey

DEFAULT_WINDOW_MS = 5_000
MAX_WINDOW_MS = 60_000
MAX_AHEAD_MS = 1_000


class Keyring:
    """The keys that a front knows. `slack` widens every time window, for a clock faster than the machine's."""

    def __init__(self, keys: Sequence[ApiKey], slack: float = 1.0) -> None:
        self._keys = {key.key: key for key in keys}
        self._slack = max(slack, 1.0)

    def owner(self, key: str | None) -> ApiKey:
        """Return whose key this is; raise -2014 or -2015."""
        if not key:
            raise BinanceError(-2014, "API-key format invalid.", 401)
        known = self._keys.get(key)
        if known is None:
            raise BinanceError(-2015, "Invalid API-key, IP, or permissions for action.", 401)
        return known

    def check(self, owner: ApiKey, query: str, body: str, now_ms: int) -> None:
        """Check signature and time of a request as it was sent; raise -1022, -1021 or -1102."""
        signed, signature = _split(query, body)
        wanted = hmac.new(owner.secret.encode(), signed.encode(), hashlib.sha256).hexdigest()
        if not hmac.compare_digest(wanted, signature.lower()):
            raise BinanceError(-1022, "Signature for this request is not valid.")
        self.check_time(dict(_pairs(query) + _pairs(body)), now_ms)

    def check_call(self, params: Mapping[str, object], now_ms: int) -> ApiKey:
        """Return who signed the parameters of a WebSocket request, which are signed in the order of their names."""
        owner = self.owner(str(params.get("apiKey", "")))
        signed = "&".join(f"{name}={_told(params[name])}" for name in sorted(params) if name != "signature")
        wanted = hmac.new(owner.secret.encode(), signed.encode(), hashlib.sha256).hexdigest()
        if not hmac.compare_digest(wanted, str(params.get("signature", "")).lower()):
            raise BinanceError(-1022, "Signature for this request is not valid.")
        self.check_time({name: str(value) for name, value in params.items()}, now_ms)
        return owner

    def check_time(self, params: Mapping[str, str], now_ms: int) -> None:
        """Check `timestamp` and `recvWindow` against the venue's time; raise -1021, -1102 or -1131."""
        try:
            made = int(params["timestamp"])
        except (KeyError, ValueError):
            raise missing("timestamp") from None
        try:
            window = int(float(params.get("recvWindow", DEFAULT_WINDOW_MS)))
        except ValueError:
            raise missing("recvWindow") from None
        if not 0 < window <= MAX_WINDOW_MS:
            raise BinanceError(-1131, "recvWindow must be less than 60000")
        if made > now_ms + MAX_AHEAD_MS * self._slack:
            raise BinanceError(-1021, "Timestamp for this request was 1000ms ahead of the server's time.")
        if made < now_ms - window * self._slack:
            raise BinanceError(-1021, "Timestamp for this request is outside of the recvWindow.")


def _told(value: object) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


def _split(query: str, body: str) -> tuple[str, str]:
    # the signature is the last parameter of whichever part holds it, and is not part of what it signs
    signature = ""
    kept: list[str] = []
    for part in (query, body):
        pairs = []
        for pair in part.split("&") if part else []:
            name, _, value = pair.partition("=")
            if name == "signature":
                signature = unquote(value)
            else:
                pairs.append(pair)
        kept.append("&".join(pairs))
    return kept[0] + kept[1], signature


def _pairs(text: str) -> list[tuple[str, str]]:
    return [
        (name, unquote(value)) for name, _, value in (pair.partition("=") for pair in (text.split("&") if text else []))
    ]
