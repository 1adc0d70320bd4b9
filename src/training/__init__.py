"""Fine-tuning an encoder on scored sentence pairs."""

from src.training.callbacks import CURVE_COLUMNS, CurveRow, TrainingCallback
from src.training.clock import TrainingClock
from src.training.fine_tune import Training, fine_tune

__all__ = ["CURVE_COLUMNS", "CurveRow", "Training", "TrainingCallback", "TrainingClock", "fine_tune"]
