"""One file per model, each with its paper."""
