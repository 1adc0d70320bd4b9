"""Files of a finished run under fixed names in its folder."""

from dataclasses import asdict
from pathlib import Path

import pandas as pd
from datasets import Dataset
from omegaconf import OmegaConf
from sentence_transformers import SentenceTransformer

from src.config import Config
from src.evaluation.evaluate import Evaluation
from src.evaluation.metrics import SPEARMAN
from src.evaluation.result import RESULT_FILE, Result
from src.report.plots import PLOTS, draw_plots
from src.training.callbacks import CURVE_COLUMNS, CurveRow
from src.utils.files import atomic_write
from src.utils.processes import main_process_only

ARTIFACTS = ["config.yaml", "curve.csv", RESULT_FILE, "predictions.parquet", *PLOTS]
"""Files that `save_result` writes."""


@main_process_only
def save_model(encoder: SentenceTransformer, folder: Path) -> None:
    """Write the encoder to `folder`/model, as safetensors with its model card."""
    with atomic_write(folder / "model", sum(weight.nbytes for weight in encoder.parameters())) as temporary:
        encoder.save_pretrained(str(temporary), safe_serialization=True)


@main_process_only
def save_result(
    folder: Path, config: Config, result: Result, curve: list[CurveRow], pairs: Dataset, evaluation: Evaluation
) -> None:
    """Write `ARTIFACTS` into the folder; `evaluation` is that of `pairs`.

    metrics.json comes last: a folder that has it is complete.
    """
    with atomic_write(folder / "config.yaml") as temporary:
        OmegaConf.save(OmegaConf.create(asdict(config)), temporary)
    with atomic_write(folder / "curve.csv") as temporary:
        pd.DataFrame([row.to_dict() for row in curve], columns=list(CURVE_COLUMNS)).to_csv(temporary, index=False)
    with atomic_write(folder / "predictions.parquet") as temporary:
        predictions = pairs.select_columns(["sentence1", "sentence2"]).to_pandas()
        predictions.assign(gold=evaluation.gold, predicted=evaluation.predicted).to_parquet(temporary, index=False)
    draw_plots(folder, result, config.trainer.seed, result.comparable(config.published).get(SPEARMAN))
    result.save(folder)
