"""Base encoders: loading and provenance."""

from src.encoder.loading import BaseModel, base_of, load_encoder

__all__ = ["BaseModel", "base_of", "load_encoder"]
