"""Training. `tiny` makes the embedded model; ``python -m vipcli.training.tiny --help``."""
