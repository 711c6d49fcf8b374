"""dYdX v4 through its indexer: sockets, REST, books that are never crossed."""
