"""Raw recordings: all that an adapter is told, kept and told again."""
