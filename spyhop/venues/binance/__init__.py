"""Binance: frames of its sockets, raw captures, public dumps."""
