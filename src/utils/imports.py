"""Imports of large libraries without full collections of garbage."""

import gc
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def heavy_imports() -> Iterator[None]:
    """Pause full collections of garbage in the block, which imports, and exempt what is there after it from later ones.

    Imports create 700,000 objects that live until the end, and Python would search them again and again: a fifth of
    the time of importing torch, transformers and MLflow, and 0.3 s for every full collection after it, such as that at
    the start of each training. Young objects are still collected: 40 % of what imports make is garbage.
    """
    young, *older = gc.get_threshold()
    gc.set_threshold(young, 1000, 1000)
    try:
        yield
    finally:
        gc.freeze()
        gc.set_threshold(young, *older)
