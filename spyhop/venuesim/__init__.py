"""A server on loopback that speaks the venues' own protocols: the embedded default and the test bench for faults."""
