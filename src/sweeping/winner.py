"""What becomes of the winner: its model is kept, and its settings are trained with on all of train."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

from src.data import PairData
from src.metrics.names import PEARSON, SPEARMAN
from src.report.result import Metrics
from src.sweeping.selection import Standing
from src.sweeping.study import SweepStudy
from src.sweeping.trainings import Trainings, given_up_if_diverged, plain, steps_of
from src.sweeping.values import with_values
from src.tracking import PARENT, Run, known_run, start_run


def keep_model(study: SweepStudy, winner: Standing, trainings: Trainings, parent: Run) -> None:
    """Record the model of the winning trial in its run, once."""
    tracking = replace(study.config.tracking, models=True, register=False)
    config = replace(plain(study.config), folder=str(study.trial_folder(winner.number)), tracking=tracking)
    run_id = known_run(config, study.trials()[winner.number].user_attrs.get("run_id"))
    if run_id is None or study.noted("model_of") == winner.number:
        return
    folder = model_folder(study, winner, trainings, parent.run_id)
    metrics = json.loads((folder / "metrics.json").read_text(encoding="utf-8"))
    with start_run(config, {}, run_id) as tracked:
        tracked.log_model(folder / "model", metrics["steps"], {})
        tracked.set_tags({"sweep.winner": "true"})
    study.note("model_of", winner.number)


def model_folder(study: SweepStudy, winner: Standing, trainings: Trainings, parent_run: str) -> Path:
    """Return the folder of the winning trial's training; one whose model lies elsewhere or is gone is done again."""
    folder = study.trial_folder(winner.number)
    if not (folder / "model").is_dir():
        folder = study.folder / "confirm" / f"{winner.number:04d}-again"
        tags = {"role": "confirmation", "trial.number": str(winner.number), PARENT: parent_run}
        trainings.run(winner.values, folder, tags)
    return folder


def train_winner(study: SweepStudy, winner: Standing, pairs: PairData, trainings: Trainings, parent: Run) -> Metrics:
    """Train with the winner's values on all of train and return the metrics, of sts-dev or of test where there is one.

    Its weights are those of `python -m src.train ... +tuned=NAME` (with trainer.keep=last), but it is evaluated once,
    at its end: nothing can be chosen by sts-dev. Once done it is not done again.

    Raises:
        Diverged: on all of train it does not hold; the study knows it, and leaves this trial out.

    """
    folder = study.folder / "winner"
    config = with_values(plain(study.config), winner.values)
    trainer = config.trainer
    once = replace(
        trainer,
        eval_steps=steps_of(trainer, len(pairs.train)),
        save_steps=trainer.save_steps or trainer.eval_steps,
        keep="last",
        resume="if_same",  # not so with another winner than before: it starts anew
    )
    config = replace(config, folder=str(folder), trainer=once)
    result, settled = folder / "metrics.json", study.noted("winner")
    if result.exists() and settled == {"values": winner.values, "folder": str(folder.resolve())}:
        metrics = Metrics(**json.loads(result.read_text(encoding="utf-8")))
    else:
        tags: dict[str, Any] = {"role": "winner", "trial.number": str(winner.number), PARENT: parent.run_id}
        with given_up_if_diverged(study, winner.number, folder):
            metrics = trainings.train(config, pairs, trainings.encoder(config), (), tags)
        study.note("winner", {"values": winner.values, "folder": str(folder.resolve())})
    parent.log_metrics({SPEARMAN: metrics.spearman_cosine, PEARSON: metrics.pearson_cosine})
    return metrics
