"""Words for the examples of each shape."""

UNITS = {"scored": "pairs", "labelled": "pairs", "positives": "pairs", "triplets": "triplets"}
"""What the examples of each shape are called, in the plural."""
