"""Studies of recordings: who leads whom, what following would have left, and how much of a best setting is luck."""
