"""From settings to objects; `plan` is the only module that knows the mode."""
