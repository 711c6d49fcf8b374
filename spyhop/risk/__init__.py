"""The one authority over entries: sizes an intent, and approves or refuses it with what was measured."""
