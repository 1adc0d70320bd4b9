"""Predictions of a trained model: similarities of sentence pairs, and candidates ranked for queries."""

from src.prediction.run import PredictionSummary, run_prediction

__all__ = ["PredictionSummary", "run_prediction"]
