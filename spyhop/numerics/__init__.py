"""Compiled kernels: arrays and numbers in, arrays and numbers out. Nothing here knows what trading is."""
