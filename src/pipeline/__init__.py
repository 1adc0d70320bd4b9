"""Training pipeline: from settings and pairs to a result, with one seed or several, new or resumed."""

from src.pipeline.seeds import run_experiment, run_seeds
from src.pipeline.training import run_training

__all__ = ["run_experiment", "run_seeds", "run_training"]
