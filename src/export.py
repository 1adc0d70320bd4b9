"""Export a trained model for deployment with onnxruntime or OpenVINO, and compare it with the model in torch.

python -m src.export model=experiments/review_sts format=onnx precision=int8
"""

from src.cli import hydra_command
from src.exporting import export_model as run

if __name__ == "__main__":
    hydra_command(run, "export")()
