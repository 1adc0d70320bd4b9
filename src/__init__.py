"""Fine-tuning of sentence encoders on pair similarity."""

import atexit
import os
import shutil
import tempfile
from pathlib import Path

# read by the libraries when they are first imported: no telemetry, no progress bar for each file
os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
os.environ.setdefault("DO_NOT_TRACK", "true")
os.environ.setdefault("HF_HUB_DISABLE_TELEMETRY", "1")
os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
os.environ.setdefault("HF_HUB_DISABLE_PROGRESS_BARS", "1")
# OpenMP threads wait actively for 2,000 turns, not 300,000: beside another busy process, which delays one of them, a
# step takes twice its time on an idle machine instead of twenty times; alone it takes about as long as before
os.environ.setdefault("GOMP_SPINCOUNT", "2000")
# tokenise on all cores; unset, tokenizers warns when a process is started (safe, as none forks after tokenising)
os.environ.setdefault("TOKENIZERS_PARALLELISM", "true")

try:
    Path.home()
except RuntimeError:  # no HOME and no passwd entry, as in some containers; MLflow and the caches need a home folder
    os.environ["HOME"] = tempfile.mkdtemp(prefix="home-")
    atexit.register(shutil.rmtree, os.environ["HOME"], ignore_errors=True)
