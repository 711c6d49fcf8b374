"""What a human may ask for: one typed tree of settings, where each value came from, and the secrets apart from it."""
