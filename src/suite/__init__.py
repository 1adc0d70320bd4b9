"""Evaluation of models on a suite of sets: scores, paired differences, verdicts, and their report."""

from src.suite.run import run_evaluation

__all__ = ["run_evaluation"]
