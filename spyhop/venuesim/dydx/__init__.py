"""dYdX v4 as its clients see it: the indexer's REST and sockets, a node that takes transactions, and its blocks."""
