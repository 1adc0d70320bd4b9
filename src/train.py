"""Fine-tune an encoder on scored sentence pairs: python -m src.train +experiment=review_sts."""

from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

from sentence_transformers import SentenceTransformer

from src.config import Config
from src.config.checks import require
from src.data import PairData, digest, load_pairs
from src.encoder import base_of, load_encoder
from src.entry import entry
from src.files import sole_use
from src.processes import check_share, is_first, joined, processes
from src.provenance import deciding, provenance
from src.report.card import complete, describe
from src.report.console import ProgressView
from src.report.result import ARTIFACTS, Metrics, measure, write_model, write_result
from src.report.summary import print_behind, print_sources, print_summary
from src.seeds.repeat import train_seeds
from src.tracking import start_run
from src.training import fine_tune
from src.training.checkpoints import Checkpoints
from src.training.curve import Listener
from src.training.divergence import check_encoder
from src.training.evaluation import evaluate
from src.training.losses import build_loss


def launch(config: Config) -> None:
    """Train as configured, in this process or under torchrun in several."""
    check_share(config.trainer.batch_size)
    require(processes() == 1 or not config.trainer.seeds, "trainer.seeds", "empty under torchrun", config.trainer.seeds)
    with joined():
        if is_first():
            run(config)
        else:
            follow(config)


def run(config: Config) -> Metrics:
    """Train as configured and return the metrics; the rest lies in `config.folder` and in the tracked run."""
    with sole_use(Path(config.folder)):
        pairs = load_pairs(config.data)
        if config.trainer.seeds:
            return train_seeds(config, pairs, identity(config, pairs), train)
        return train(config, pairs, load_encoder(config.model))


def train(
    config: Config,
    pairs: PairData,
    encoder: SentenceTransformer,
    listeners: Sequence[Listener] = (),
    tags: dict[str, str] | None = None,
) -> Metrics:
    """Train this encoder in place on these pairs; further `listeners` hear how it goes, further `tags` mark the run."""
    folder, base = Path(config.folder), base_of(config.model)
    print_sources(pairs, base)
    checkpoints = Checkpoints(folder / "checkpoints", identity(config, pairs))
    former = checkpoints.unfinished_run(config.trainer.resume)
    with start_run(config, provenance(config) | (tags or {}), former) as tracked, ProgressView() as view:
        print_behind(tracked.behind)
        checkpoints.belong_to(tracked.run_id)
        tracked.log_sources(pairs, base)
        describe(encoder, config.name, pairs, base)
        loss = build_loss(encoder, config.loss.name)
        before = evaluate(encoder, pairs.dev, loss, config.trainer)
        check_encoder(before, base.name)
        told: list[Listener] = [view, tracked, *listeners]
        training = fine_tune(encoder, pairs.train, pairs.dev, loss, config.trainer, checkpoints, told)
        after = evaluate(encoder, pairs.reported, loss, config.trainer)
        check_encoder(after, config.name)
        complete(encoder, training.curve, pairs, after.correlations)
        write_model(encoder, folder)
        version = tracked.log_model(folder / "model", training.steps, after.correlations)
        metrics = measure(config, pairs, base, training, before, after, tracked.run_id, version)
        write_result(folder, config, metrics, training, pairs.reported, after)
        tracked.log_result(folder, ARTIFACTS, asdict(metrics))
    checkpoints.remove()
    print_summary(metrics, config, tracked.behind)
    return metrics


def follow(config: Config) -> None:
    """Train along with the first process, which alone records, writes and prints."""
    pairs, encoder = load_pairs(config.data), load_encoder(config.model)
    describe(encoder, config.name, pairs, base_of(config.model))
    checkpoints = Checkpoints(Path(config.folder) / "checkpoints", identity(config, pairs))
    fine_tune(encoder, pairs.train, pairs.dev, build_loss(encoder, config.loss.name), config.trainer, checkpoints, [])


def identity(config: Config, pairs: PairData) -> dict[str, str]:
    """Return what a training depends on, by name: it is gone on with only if all of it is the same."""
    held = f"{digest(pairs.train)} and {digest(pairs.dev)}"
    return {**deciding(config), "pairs": held, "processes": str(processes())}


if __name__ == "__main__":
    entry(launch)()
