"""Developer profiles against project postings, in the form of the published project_match model card."""

from src.data.project_match.generate import load_project_match
from src.data.project_match.minimal_pairs import MinimalPair, minimal_pairs

__all__ = ["MinimalPair", "load_project_match", "minimal_pairs"]
