"""Model card, plots, files and messages of a run."""
