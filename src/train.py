"""Fine-tune an encoder on scored sentence pairs: python -m src.train +experiment=review_sts."""

from dataclasses import asdict
from functools import partial
from pathlib import Path

from src.config import Config
from src.data import load_pairs
from src.encoder import base_of, load_encoder
from src.entry import entry
from src.provenance import provenance
from src.report.card import describe
from src.report.console import ProgressView
from src.report.result import ARTIFACTS, Metrics, measure, write_model, write_result
from src.report.summary import print_sources, print_summary
from src.tracking import start_run
from src.training import fine_tune
from src.training.evaluation import evaluate
from src.training.losses import build_loss


def run(config: Config) -> Metrics:
    """Train as configured and return the metrics; the rest lies in `config.folder` and in the tracked run."""
    folder = Path(config.folder)
    pairs, base = load_pairs(config.data), base_of(config.model)
    encoder = load_encoder(config.model)
    print_sources(pairs, base)
    with start_run(config, provenance(config)) as tracked, ProgressView() as view:
        tracked.log_sources(pairs, base)
        describe(encoder, config.name, pairs, base)
        loss = build_loss(encoder, config.loss.name)
        score = partial(evaluate, encoder, pairs.dev, loss, config.trainer)
        before = score()
        training = fine_tune(
            encoder, pairs.train, pairs.dev, loss, config.trainer, folder / "checkpoints", [view, tracked]
        )
        after = score()
        write_model(encoder, folder)
        version = tracked.log_model(encoder, training.steps)
        metrics = measure(config, pairs, base, training, before, after, tracked.run_id, version)
        write_result(folder, config, metrics, training, pairs.dev, after)
        tracked.log_result(folder, ARTIFACTS, asdict(metrics))
    print_summary(metrics, config)
    return metrics


if __name__ == "__main__":
    entry(run)()
