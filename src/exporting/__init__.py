"""Export of a trained encoder as one graph for onnxruntime or OpenVINO, with its proof and its record."""

from src.exporting.run import export_model

__all__ = ["export_model"]
