"""Imports of large libraries leave the collection of garbage as it was, without what they have made."""

import gc

import pytest

from src.utils.imports import heavy_imports


def test_full_collections_pause_in_the_block_and_only_there() -> None:
    before = gc.get_threshold()
    with pytest.raises(ImportError), heavy_imports():
        assert gc.get_threshold() == (before[0], 1000, 1000)
        raise ImportError
    assert gc.get_threshold() == before


def test_what_the_block_has_made_is_exempt_from_later_collections() -> None:
    with heavy_imports():
        made = [[number] for number in range(1000)]
    collected = {id(each) for each in gc.get_objects()}
    assert not any(id(each) in collected for each in made)
