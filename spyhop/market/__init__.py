"""What the world did: order book, best prices, bars and feed health, folded from the tape in compiled kernels."""
