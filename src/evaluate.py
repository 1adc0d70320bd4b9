"""Compare a model with others on several sets: did training help, and what was forgotten?

python -m src.evaluate model=experiments/review_sts against=base
"""

from src.cli import hydra_command
from src.suite import run_evaluation as run

if __name__ == "__main__":
    hydra_command(run, "evaluate")()
