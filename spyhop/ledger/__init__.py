"""Pure accounting of what happened to us: positions, cash, equity, and where a venue would take over."""
