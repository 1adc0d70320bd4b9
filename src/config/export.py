"""Settings of the export of a model for deployment."""

from dataclasses import dataclass, field
from math import isfinite

from src.config.commands import MODELS
from src.config.data import PairFiles
from src.config.tracking import TrackingConfig
from src.utils.errors import require_fields

FORMATS = ("onnx", "openvino")
PRECISIONS = ("fp32", "int8", "fp16")


@dataclass
class ExportOptions:
    """What the exported graph returns, and what it may cost."""

    dims: int | None = None
    """Numbers of an embedding to keep, the first ones; empty: all, or as many as the model itself keeps."""
    tolerance: float = 0.005
    """Loss of the leading metric against the model in torch from which on an export fails."""


@dataclass
class ExportConfig:
    """All settings of an export."""

    model: str = ""
    """Experiment folder, model folder, owner/name on the Hub, models:/NAME/VERSION or models:/NAME@ALIAS."""
    format: str = "onnx"
    """onnx, which onnxruntime runs, or openvino."""
    precision: str = "fp32"
    """fp32; int8: weights and embedding table in 8 bits; fp16: weights stored in 16 bits, computed in float32."""
    output: str | None = None
    """Folder of the export; empty: export/FORMAT-PRECISION in the folder of the experiment."""
    export: ExportOptions = field(default_factory=ExportOptions)
    data: PairFiles = field(default_factory=lambda: PairFiles(train=""))
    """Examples to compare on, `data.dev=FILE` with the keys of data=pairs; empty: those on which the experiment was
    evaluated."""
    threads: int = 0
    """CPU threads of the comparison; 0: as many as the process has cores."""
    tracking: TrackingConfig = field(default_factory=TrackingConfig)
    """MLflow store in which models:/ addresses are looked up and the export is recorded."""

    def __post_init__(self) -> None:
        checks = [
            ("model", bool(self.model.strip()), MODELS),
            ("format", self.format in FORMATS, f"one of {list(FORMATS)}"),
            ("precision", self.precision in PRECISIONS, f"one of {list(PRECISIONS)}"),
            ("output", self.output is None or bool(self.output.strip()), "the path of a folder, or null"),
            ("threads", self.threads >= 0, "at least 0"),
        ]
        require_fields(self, "", checks)
        options = [
            ("dims", self.export.dims is None or self.export.dims >= 1, "at least 1, or null"),
            ("tolerance", isfinite(self.export.tolerance) and self.export.tolerance >= 0, "at least 0 and finite"),
        ]
        require_fields(self.export, "export.", options)
