"""Identifiers and units as types, so that a type checker tells a symbol from a venue and ticks from lots."""

from __future__ import annotations

from typing import NewType

Symbol = NewType("Symbol", str)
SessionId = NewType("SessionId", str)
InstrumentId = NewType("InstrumentId", int)
ClientOrderId = NewType("ClientOrderId", str)
VenueOrderId = NewType("VenueOrderId", str)
FillId = NewType("FillId", str)
TradeId = NewType("TradeId", str)
Ticks = NewType("Ticks", int)
Lots = NewType("Lots", int)
Nanos = NewType("Nanos", int)
