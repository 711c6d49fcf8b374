"""Ray actors: thin asynchronous shells over the stages of `spyhop`."""
