"""Turns rows into 23 probabilities, a decision that can be explained, and now and then an intent."""
