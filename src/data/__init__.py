"""Training examples: sources, shapes, checks, splits and digests."""

from src.utils.imports import heavy_imports

with heavy_imports():  # of datasets, pandas and scipy
    from src.data.examples import ExampleSet, Provenance, digest
    from src.data.shapes import Shape, shape_of, text_columns
    from src.data.sources import load_examples
    from src.data.split import split_folds, split_off

__all__ = [
    "ExampleSet",
    "Provenance",
    "Shape",
    "digest",
    "load_examples",
    "shape_of",
    "split_folds",
    "split_off",
    "text_columns",
]
