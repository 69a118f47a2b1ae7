"""One file for each command: `add` describes it, `run` does it."""
