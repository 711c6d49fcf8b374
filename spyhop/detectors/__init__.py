"""Fifteen detectors over the market fold: one file each, one record of state each, one compiled loop for all."""
