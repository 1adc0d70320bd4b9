"""Base encoders: loading and provenance."""

from src.utils.imports import heavy_imports

with heavy_imports():  # of torch, transformers and sentence-transformers
    from src.encoder.loading import BaseModel, base_of, copy_encoder, load_encoder

__all__ = ["BaseModel", "base_of", "copy_encoder", "load_encoder"]
