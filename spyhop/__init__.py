"""Spyhop: the pure core. Stages turn messages into messages; ray never enters here."""

__version__ = "0.1.0"
