"""Fine-tuning an encoder on examples of any shape."""

from src.training.callbacks import CurveRow, TrainingCallback
from src.training.clock import TrainingClock
from src.training.fine_tune import Training, fine_tune

__all__ = ["CurveRow", "Training", "TrainingCallback", "TrainingClock", "fine_tune"]
