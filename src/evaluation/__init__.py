"""Metrics of similarities, their intervals and tests, and the result of a run."""
