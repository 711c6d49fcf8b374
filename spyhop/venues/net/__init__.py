"""The way to a venue: sockets, HTTP, and how much may be asked."""
