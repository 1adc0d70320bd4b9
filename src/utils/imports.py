"""Imports of large libraries without full collections of garbage."""

import gc
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def heavy_imports() -> Iterator[None]:
    """Pause full collections of garbage in the block, which imports, and exempt what is there after it from later ones.

    Imports create 700,000 objects that live until the end, and Python would search them again and again: a quarter of
    the time of importing torch, transformers and MLflow, and 0.4 s for every full collection after it, such as that at
    the start of each training. Young objects are still collected, else a third of memory would be garbage.
    """
    young, *older = gc.get_threshold()
    gc.set_threshold(young, 1000, 1000)
    try:
        yield
    finally:
        gc.freeze()
        gc.set_threshold(young, *older)
