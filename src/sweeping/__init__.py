"""Hyperparameter search: space, study, trials, confirmation, winner, report."""

import warnings

import optuna
from optuna.exceptions import ExperimentalWarning

optuna.logging.set_verbosity(optuna.logging.ERROR)
warnings.filterwarnings("ignore", category=ExperimentalWarning)  # heartbeats and some pruners
