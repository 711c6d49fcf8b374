"""An empty room: studies of recorded data and over-fitting statistics will stand here; nothing does yet."""
