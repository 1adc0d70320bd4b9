"""Packed batches: the tokens of all texts of a batch in one sequence, with attention within each text."""
