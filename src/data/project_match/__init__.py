"""Developer profiles and project postings, in the form of the published project_match model card."""

from src.data.project_match.generate import load_project_match

__all__ = ["load_project_match"]
