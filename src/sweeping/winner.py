"""The winner of a sweep: its training on all of train, and the model of its trial."""

from dataclasses import replace
from pathlib import Path

from src.config import Config
from src.data import ExampleSet
from src.evaluation.result import Result
from src.sweeping.finalists import Finalist
from src.sweeping.space import training_config, with_params
from src.sweeping.study import SweepStudy
from src.sweeping.trainings import Trainings, excluded_if_diverged, set_sizes, trial_name
from src.tracking import PARENT, Run, known_run, start_run
from src.training.fine_tune import save_interval, total_steps


def train_winner(winner: Finalist, trainings: Trainings, pairs: ExampleSet, parent: Run) -> Result:
    """Train with the winner's params on all of train; return the result, scored on test if there is one, else on dev.

    The weights equal those of `python -m src.train ... +tuned=NAME` with trainer.keep=last.

    Raises `TrainingDiverged` if the training diverges; the study then excludes this trial.
    """
    study = trainings.study
    config = winner_config(study, winner, set_sizes(pairs))
    tags = {"role": "winner", "trial.number": str(winner.number), PARENT: parent.run_id}
    with excluded_if_diverged(study, winner.number, Path(config.folder)):
        result = trainings.load_or_train(config, pairs, tags)
    parent.log_metrics({name: score.value for name, score in result.scores.items()})
    return result


def winner_config(study: SweepStudy, winner: Finalist, sizes: list[int]) -> Config:
    """Return the settings of the winner's training: one evaluation, at its end, since dev must not select anything."""
    config = with_params(training_config(study.config), winner.params)
    trainer = config.trainer
    once = replace(
        trainer,
        eval_steps=total_steps(trainer, *sizes),
        eval_every_epochs=None,
        save_steps=save_interval(trainer, *sizes),
        save_every_epochs=None,
        keep="last",
        resume="if_same",  # starts anew if the winner has changed
    )
    tracking = replace(config.tracking, run_name=f"winner, {trial_name(winner.number, winner.params)}")
    # without the number of trials: a resumed sweep with more of them may keep this winner and its model
    held_out = f"{study.config.sweep.folds} folds" if study.config.sweep.folds else "a validation part"
    chosen = (
        "are the recipe's own, which a search did not improve on" if winner.recipe else "were chosen by a search on"
    )
    selection = f"The values of {', '.join(winner.params)} {chosen} {held_out} of train."
    folder = str(study.folder / "winner")
    return replace(config, folder=folder, trainer=once, tracking=tracking, selection=selection)


def log_winning_model(winner: Finalist, trainings: Trainings, parent: Run) -> None:
    """Record the winning trial's model in its MLflow run, unless it is recorded already; of several folds none."""
    study = trainings.study
    tracking = replace(study.config.tracking, models=True, register=False, champion="off", system_metrics=False)
    folder = str(study.trial_folder(winner.number))
    config = replace(training_config(study.config), folder=folder, tracking=tracking)
    run_id = known_run(config, study.trials()[winner.number].user_attrs.get("run_id"))
    if len(trainings.parts) > 1 or run_id is None or study.get_attr("logged_model_of") == winner.number:
        return
    result_folder = retrain_missing(winner, trainings, parent.run_id)
    result = Result.load(result_folder)
    with start_run(config, {}, run_id) as run:
        run.log_model(result_folder / "model", result.steps, result.reported, trainings.parts[0])
        run.set_tags({"sweep.winner": "true"})
    study.set_attr("logged_model_of", winner.number)


def retrain_missing(winner: Finalist, trainings: Trainings, parent_run: str) -> Path:
    """Return the folder of the winning trial's result; train again if its model is missing on this machine."""
    study = trainings.study
    folder = study.trial_folder(winner.number)
    if not (folder / "model").is_dir():
        folder = study.folder / "confirm" / f"{winner.number:04d}-again"
        tags = {"role": "confirmation", "trial.number": str(winner.number), PARENT: parent_run}
        trainings.run(winner.params, folder, tags, keep_model=True)
    return folder
