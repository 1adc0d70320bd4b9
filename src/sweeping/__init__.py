"""Hyperparameter search: space, study, trials, confirmation, winner, report."""
