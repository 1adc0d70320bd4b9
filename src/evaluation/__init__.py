"""Metrics, their confidence intervals and significance tests, and the result of a run."""
