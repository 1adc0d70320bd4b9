"""The names of metrics, in one place."""

DEV = "sts-dev"
"""The evaluator's name, as on the published model cards."""
SPEARMAN = "spearman_cosine"
PEARSON = "pearson_cosine"
TRAINING_LOSS = "training_loss"
VALIDATION_LOSS = "validation_loss"
LEARNING_RATE = "learning_rate"
