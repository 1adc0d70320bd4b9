"""Sentence pairs: sources, checks, splits and digests."""

from src.data.pairs import PairData, Provenance, digest
from src.data.sources import load_pairs
from src.data.split import split_off

__all__ = ["PairData", "Provenance", "digest", "load_pairs", "split_off"]
