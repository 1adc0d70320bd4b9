"""Fine-tune an encoder on scored pairs, positives, triplets or labels: python -m src.train +experiment=review_sts."""

from contextlib import nullcontext
from pathlib import Path

from src.cli import hydra_command
from src.config import Config
from src.data import load_examples
from src.evaluation.result import Result
from src.utils.errors import require
from src.utils.files import exclusive_lock
from src.utils.processes import check_batch_share, is_main_process, world_size


def run(config: Config) -> Result:
    """Train as configured and return the result, which is also written to `config.folder` and the tracked run."""
    check_batch_share(config.trainer.batch_size)
    seeds = config.trainer.seeds
    require(world_size() == 1 or not seeds, "trainer.seeds", "empty under torchrun", seeds)
    with exclusive_lock(Path(config.folder)) if is_main_process() else nullcontext():
        pairs = load_examples(config.data)
        from src.pipeline import run_experiment  # imports torch, which takes seconds: after the checks

        result = run_experiment(config, pairs)
        if config.trainer.evaluate_suite and is_main_process():
            from src.suite.run import evaluate_trained

            evaluate_trained(config)
        return result


if __name__ == "__main__":
    hydra_command(run)()
