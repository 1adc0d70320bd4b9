"""Fine-tuning of sentence encoders on pair similarity."""

import os

# read by the libraries when they are first imported: no telemetry, and no progress bar for every file written
os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
os.environ.setdefault("DO_NOT_TRACK", "true")
os.environ.setdefault("HF_HUB_DISABLE_TELEMETRY", "1")
os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
os.environ.setdefault("HF_HUB_DISABLE_PROGRESS_BARS", "1")
# on all cores; said outright, as otherwise starting a process prints a warning (none here forks after it has tokenised)
os.environ.setdefault("TOKENIZERS_PARALLELISM", "true")
