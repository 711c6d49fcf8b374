"""Measurements, each `python -m benchmarks.NAME`: one JSON object a line with name, value, unit, on."""

# tells Ray its environment before any benchmark imports Ray
import cluster as cluster
