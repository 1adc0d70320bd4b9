"""Upload of a trained model to the Hugging Face Hub."""

from src.publishing.push import push_model

__all__ = ["push_model"]
