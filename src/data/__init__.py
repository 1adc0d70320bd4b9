"""Where sentence pairs come from; the only package that knows."""

from collections.abc import Callable
from typing import Any

from src.config.data import KlueSts, PairFiles, ProjectMatch
from src.data.klue_sts import load_klue_sts
from src.data.pair_data import Origin, PairData
from src.data.pair_files import load_pair_files
from src.data.pairs import digest
from src.data.project_match import load_project_match
from src.data.split import split_off

__all__ = ["Origin", "PairData", "digest", "load_pairs", "split_off"]

LOADERS: dict[type, Callable[[Any], PairData]] = {
    KlueSts: load_klue_sts,
    PairFiles: load_pair_files,
    ProjectMatch: load_project_match,
}


def load_pairs(data: KlueSts | PairFiles | ProjectMatch) -> PairData:
    """Return the pairs of a data configuration, checked and in file order; raise `UserError` for bad input."""
    return LOADERS[type(data)](data)
