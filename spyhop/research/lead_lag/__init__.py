"""Who leads whom, and by how much: series, estimator, shares, page."""
