"""Answers of a trained model: scores of sentence pairs, and candidates ranked for queries."""
