"""Upload a trained model with its card to the Hugging Face Hub, private by default.

python -m src.push model=experiments/review_sts repo=OWNER/NAME
"""

from src.cli import hydra_command
from src.publishing import push_model as run

if __name__ == "__main__":
    hydra_command(run, "push")()
