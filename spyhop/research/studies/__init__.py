"""What trading minutes of a leader and its follower would have left."""
