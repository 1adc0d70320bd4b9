"""The result of a finished run under fixed names in its folder."""

from dataclasses import asdict
from pathlib import Path

import pandas as pd
from omegaconf import OmegaConf
from sentence_transformers import SentenceTransformer

from src.config import Config
from src.encoder.prompts import save_column_prompts
from src.evaluation.evaluate import Evaluation
from src.evaluation.result import RESULT_FILE, Result
from src.report.plots import draw_plots, plot_files
from src.training import CurveRow
from src.utils.processes import main_process_only
from src.utils.staging import staged


def artifacts(result: Result) -> list[str]:
    """Return the files that `save_result` writes besides the model."""
    return ["config.yaml", "curve.csv", RESULT_FILE, "predictions.parquet", *plot_files(result)]


@main_process_only
def save_result(
    folder: Path,
    encoder: SentenceTransformer,
    config: Config,
    result: Result,
    curve: list[CurveRow],
    evaluation: Evaluation,
) -> None:
    """Write the encoder and `artifacts` into the folder, in place of all former ones.

    Raises `UserError` if the disk is full.
    """
    with staged(folder, sum(weight.nbytes for weight in encoder.parameters())) as staging:
        encoder.save_pretrained(str(staging / "model"), safe_serialization=True)
        save_column_prompts(encoder, staging / "model")
        OmegaConf.save(OmegaConf.create(asdict(config)), staging / "config.yaml")
        pd.DataFrame([row.to_dict() for row in curve]).to_csv(staging / "curve.csv", index=False)
        evaluation.predictions.to_parquet(staging / "predictions.parquet", index=False)
        draw_plots(staging, result, config.trainer.seed, result.comparable(config.published).get(result.metric.name))
        result.save(staging)
