"""Live feeds: what keeps a venue's data flowing, and the feed that hands it out."""
