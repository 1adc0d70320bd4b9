"""The result of a training, and its folder under fixed names."""

import json
import resource
from dataclasses import asdict, dataclass
from pathlib import Path

import pandas as pd
import psutil
from datasets import Dataset
from omegaconf import OmegaConf
from sentence_transformers import SentenceTransformer

from src.config import Config
from src.data import PairData
from src.encoder import BaseModel
from src.files import replacing
from src.metrics.names import PEARSON, SPEARMAN
from src.metrics.statistics import bootstrap_interval, pearson, spearman, tie_ceiling
from src.provenance import device_name
from src.report.pictures import PICTURES, draw
from src.training import Training
from src.training.curve import CurveRow
from src.training.evaluation import Evaluation

ARTIFACTS = ["config.yaml", "curve.csv", "metrics.json", "predictions.parquet", *PICTURES]


@dataclass(frozen=True)
class Metrics:
    """What `metrics.json` holds: one number or word a key."""

    experiment: str
    run_id: str
    model_version: str | None
    """Version in the model registry."""
    data_source: str
    """local, hub, sample or files."""
    data_note: str
    """What is inferred or written for this project; empty if nothing."""
    train_pairs: int
    dev_pairs: int
    evaluated_on: str
    """Split of the scores below: test where there is one, else dev."""
    evaluated_pairs: int
    spearman_ceiling: float
    """Of a perfect order: tied gold scores keep it below 1."""
    base_model: str
    spearman_cosine: float
    spearman_cosine_low: float
    """Lower end of the 95 % bootstrap interval."""
    spearman_cosine_high: float
    pearson_cosine: float
    pearson_cosine_low: float
    pearson_cosine_high: float
    spearman_cosine_before: float
    """Of the base encoder on dev, before training."""
    validation_loss: float
    steps: int
    warmup_steps: int
    precision: str
    threads: int
    device: str
    startup_seconds: float
    """From the start of the process to the first step."""
    train_seconds: float
    """Wall time of training, evaluations not counted; after an interruption, of what was left to do."""
    evaluation_seconds: float
    pairs_per_second: float
    peak_memory_mb: float
    """Largest resident memory of the process so far."""


def peak_memory_mb() -> float:
    """Return the largest resident memory of this process so far in MB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def measure(
    config: Config,
    pairs: PairData,
    base: BaseModel,
    training: Training,
    before: Evaluation,
    after: Evaluation,
    run_id: str,
    model_version: str | None,
) -> Metrics:
    """Return the metrics of a run, with 95 % bootstrap intervals."""
    seed = config.trainer.seed
    rank_interval = bootstrap_interval(spearman, after.gold, after.predicted, seed)
    linear_interval = bootstrap_interval(pearson, after.gold, after.predicted, seed)
    return Metrics(
        experiment=config.name,
        run_id=run_id,
        model_version=model_version,
        data_source=pairs.source,
        data_note=pairs.origin.note or "",
        train_pairs=len(pairs.train),
        dev_pairs=len(pairs.dev),
        evaluated_on="dev" if pairs.test is None else "test",
        evaluated_pairs=len(pairs.reported),
        spearman_ceiling=tie_ceiling(after.gold),
        base_model=base.name,
        spearman_cosine=after.correlations[SPEARMAN],
        spearman_cosine_low=rank_interval.low,
        spearman_cosine_high=rank_interval.high,
        pearson_cosine=after.correlations[PEARSON],
        pearson_cosine_low=linear_interval.low,
        pearson_cosine_high=linear_interval.high,
        spearman_cosine_before=before.correlations[SPEARMAN],
        validation_loss=after.loss,
        steps=training.steps,
        warmup_steps=training.warmup_steps,
        precision=training.precision,
        threads=training.threads,
        device=device_name(),
        startup_seconds=training.started - psutil.Process().create_time(),
        train_seconds=training.train_seconds,
        evaluation_seconds=training.evaluation_seconds,
        pairs_per_second=training.pairs_per_second,
        peak_memory_mb=peak_memory_mb(),
    )


def write_model(encoder: SentenceTransformer, folder: Path) -> None:
    """Write the encoder to `folder`/model, with safetensors weights and its model card."""
    with replacing(folder / "model", sum(weight.nbytes for weight in encoder.parameters())) as draft:
        encoder.save_pretrained(str(draft), safe_serialization=True)


def write_result(
    folder: Path, config: Config, metrics: Metrics, training: Training, pairs: Dataset, evaluation: Evaluation
) -> None:
    """Write the files of `ARTIFACTS` into `folder`.

    `evaluation` is that of `pairs`."""
    with replacing(folder / "config.yaml") as draft:
        OmegaConf.save(OmegaConf.create(asdict(config)), draft)
    with replacing(folder / "curve.csv") as draft:
        pd.DataFrame(training.curve, columns=list(CurveRow.__dataclass_fields__)).to_csv(draft, index=False)
    with replacing(folder / "predictions.parquet") as draft:
        predictions = pairs.select_columns(["sentence1", "sentence2"]).to_pandas()
        predictions.assign(gold=evaluation.gold, predicted=evaluation.predicted).to_parquet(draft, index=False)
    published = config.published.get(SPEARMAN) if metrics.data_source != "sample" else None
    draw(folder, asdict(metrics), config.trainer.seed, published)
    # last: whoever finds metrics.json finds the rest
    with replacing(folder / "metrics.json") as draft:
        draft.write_text(json.dumps(asdict(metrics), indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
