"""What a trained model is asked: scores of pairs, or a ranking."""

from dataclasses import dataclass, field
from pathlib import Path

from hydra.core.config_store import ConfigStore
from omegaconf import OmegaConf

from src.config.checks import require
from src.config.tracking import TrackingConfig
from src.config.training import PRECISIONS
from src.errors import UserError


@dataclass
class PredictConfig:
    """All settings of one prediction: `pairs` to be scored, or `queries` to rank `candidates` for."""

    model: str = ""
    """Experiment folder, model folder, `owner/name` on the Hub, models:/NAME/VERSION, or e5_small_ko (untrained)."""
    pairs: str | None = None
    """CSV, TSV, JSONL or Parquet file of sentence pairs."""
    queries: str | None = None
    """CSV, TSV, JSONL or Parquet file of texts to rank candidates for."""
    candidates: str | None = None
    """CSV, TSV, JSONL or Parquet file of the texts to be ranked."""
    output: str | None = None
    """File to write, its ending gives the format; empty: the first rows are printed."""
    sentence1: str = "sentence1"
    """Column of the first sentence of a pair."""
    sentence2: str = "sentence2"
    """Column of the second sentence of a pair."""
    column: str | None = None
    """Column of queries and candidates; empty: the only one, else `text`, else `sentence1`."""
    candidate_column: str | None = None
    """Column of the candidates, where it has another name."""
    top_k: int = 5
    """Candidates a query is given."""
    batch_size: int = 32
    """Sentences a forward pass."""
    precision: str = "fp32"
    """fp32: the library's own scores; bf16; or auto: bf16 where this machine computes it faster."""
    threads: int = 0
    """CPU threads; 0: as many as there are cores for the process."""
    cache_mb: int = 300
    """MiB for the embeddings of sentences that come again: at 384 dimensions some 175,000 sentences."""
    tracking: TrackingConfig = field(default_factory=TrackingConfig)
    """Where models:/ addresses are looked up."""

    def __post_init__(self) -> None:
        kinds = "an experiment or model folder, OWNER/NAME on the Hub, models:/NAME/VERSION or e5_small_ko"
        for key, held, expected in (
            ("model", bool(self.model.strip()), kinds),
            ("top_k", self.top_k >= 1, "at least 1"),
            ("batch_size", self.batch_size >= 1, "at least 1"),
            ("precision", self.precision in PRECISIONS, f"one of {list(PRECISIONS)}"),
            ("threads", self.threads >= 0, "at least 0"),
            ("cache_mb", self.cache_mb >= 0, "at least 0"),
        ):
            require(held, key, expected, getattr(self, key))
        given = [key for key in ("pairs", "queries", "candidates") if getattr(self, key)]
        if given not in (["pairs"], ["queries", "candidates"]):
            raise UserError(
                "expected pairs=FILE to score, or queries=FILE candidates=FILE to rank,"
                f" found {' and '.join(given) or 'neither'}: give the one or the other."
            )


def register_predict(file: Path) -> None:
    """Make the dataclass and the primary configuration `predict` in `file` known to Hydra.

    `model` is a plain value here. Hydra would take it for the group of that name if the folder of the groups were
    searched, or their schemas registered, so neither is.
    """
    store = ConfigStore.instance()
    store.store(name="predict_schema", node=PredictConfig)
    store.store(name="predict", node=OmegaConf.load(file))
