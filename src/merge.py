"""Merge a trained model with its base encoder, or several models, by the mean of their weights.

python -m src.merge model=experiments/review_sts weight=auto
"""

from src.cli import hydra_command
from src.merging import run_merge as run

if __name__ == "__main__":
    hydra_command(run, "merge")()
