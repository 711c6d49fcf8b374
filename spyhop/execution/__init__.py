"""Approved entries become orders, orders become facts: life cycles, bracket exits, round trips."""
