"""Ray Tune sweeps and comparisons; empty until the sweep issue fills it."""
