"""The result of a finished run under fixed names in its folder."""

from dataclasses import asdict
from pathlib import Path

import pandas as pd
from omegaconf import OmegaConf
from sentence_transformers import SentenceTransformer

from src.config import Config
from src.data.sentences import FILE as SENTENCES
from src.data.sentences import Digests, save_digests
from src.encoder.prompts import save_column_prompts
from src.evaluation.evaluate import Evaluation
from src.evaluation.result import RESULT_FILE, Result
from src.report.plots import draw_plots, plot_files
from src.training import CurveRow
from src.utils.files import remove
from src.utils.processes import main_process_only
from src.utils.staging import staged

EVALUATION = ("evaluation.json", "evaluation.md", "evaluation.png")
"""Report of an evaluation on a suite."""
CHOICE = "weights.csv"
"""What the weight of a merged model was chosen by."""
OF_FORMER_MODEL = (*EVALUATION, CHOICE)
"""Reports about the model in a folder, which a new model in its place makes wrong."""


def artifacts(folder: Path, result: Result) -> list[str]:
    """Return the files that `save_result` has written besides the model; earlier versions wrote no `SENTENCES`."""
    sentences = [SENTENCES] if (folder / SENTENCES).is_file() else []
    return ["config.yaml", "curve.csv", RESULT_FILE, "predictions.parquet", *sentences, *plot_files(result)]


@main_process_only
def save_result(
    folder: Path,
    encoder: SentenceTransformer,
    config: Config,
    result: Result,
    curve: list[CurveRow],
    evaluation: Evaluation,
    seen: Digests | None,
) -> None:
    """Write the encoder and `artifacts` into the folder, in place of all former ones; remove `OF_FORMER_MODEL`.

    `seen`: digests of the sentences that the encoder was trained on, None if they are not known.

    Raises `UserError` if the disk is full.
    """
    with staged(folder, sum(weight.nbytes for weight in encoder.parameters())) as staging:
        encoder.save_pretrained(str(staging / "model"), safe_serialization=True)
        save_column_prompts(encoder, staging / "model")
        OmegaConf.save(OmegaConf.create(asdict(config)), staging / "config.yaml")
        pd.DataFrame([row.to_dict() for row in curve]).to_csv(staging / "curve.csv", index=False)
        evaluation.predictions.to_parquet(staging / "predictions.parquet", index=False)
        draw_plots(staging, result, config.trainer.seed, result.comparable(config.published).get(result.metric.name))
        if seen is not None:
            save_digests(seen, staging / SENTENCES)
        result.save(staging)
    remove_former_reports(folder, keeps_sentences=seen is not None)


def remove_former_reports(folder: Path, keeps_sentences: bool) -> None:
    """Remove `OF_FORMER_MODEL` from the folder of a new model, and `SENTENCES` unless they are those of this model."""
    for name in OF_FORMER_MODEL if keeps_sentences else (*OF_FORMER_MODEL, SENTENCES):
        remove(folder / name)
