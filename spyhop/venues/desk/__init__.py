"""The desk of one account at one venue: durable commands in, numbered reports out, and nothing left unknown."""
