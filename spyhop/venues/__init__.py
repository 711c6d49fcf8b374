"""Wire formats: what venues say, from bytes to the tape, and the instruments they say it about."""
