"""Any exchange that ccxt knows, as a feed: slower than a client of our own."""
