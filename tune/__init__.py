"""Sweeps on Ray: grids as plain tasks over shared arrays, searches on Tune, every trial counted."""
