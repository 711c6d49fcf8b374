"""The code path: stages joined by watermarked streams, the same in one process and over many."""
