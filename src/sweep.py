"""Search for better training settings with Optuna: python -m src.sweep +experiment=review_sts."""

from src.cli import hydra_command
from src.config import SweepSettings
from src.data import load_examples
from src.evaluation.result import Result
from src.sweeping.search import build_sampler
from src.sweeping.space import build_space, sweep_folder, training_config
from src.utils.console import log_to_file
from src.utils.files import exclusive_lock


def run(config: SweepSettings) -> Result | None:
    """Return the result of the winner, or None on a machine that only ran trials for the leader."""
    space = build_space(config.sweep.space, training_config(config))
    build_sampler(config.sweep, space, 0)  # both report an invalid space before reading pairs
    folder = sweep_folder(config)
    with exclusive_lock(folder):
        pairs = load_examples(config.data)
        from src.sweeping.coordinator import run_sweep

        with log_to_file(folder / "sweep.log"):
            return run_sweep(config, pairs)


if __name__ == "__main__":
    hydra_command(run, "sweep")()
