"""Score pairs or rank candidates with a trained model.

python -m src.predict model=experiments/review_sts pairs=pairs.csv output=scored.csv
"""

from src.cli import hydra_command
from src.prediction import run_prediction as run

if __name__ == "__main__":
    hydra_command(run, "predict")()
