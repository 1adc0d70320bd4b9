"""Merged models: the mean of weights of a trained model and its base encoder, or of several models."""

from src.merging.run import run_merge

__all__ = ["run_merge"]
