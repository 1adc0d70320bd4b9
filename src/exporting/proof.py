"""Comparison of an export with the model in torch: cosines, leading metric with its paired interval, speed, size."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import torch
from sentence_transformers import SentenceTransformer
from torch.nn.functional import cosine_similarity

from src.evaluation.bootstrap import bootstrap_interval
from src.evaluation.embedding import Embedded, embed
from src.evaluation.evaluate import evaluate_embedded, paired_gain
from src.evaluation.metrics import leading_metric
from src.evaluation.statistics import Estimate
from src.exporting.folder import GRAPHS
from src.exporting.runtime import ExportedModule
from src.exporting.source import Evaluated
from src.exporting.speed import BATCH, EXPORT, Speed, measure_speed
from src.report.sentence import signed
from src.utils.environment import cpu_name
from src.utils.errors import UserError, shorten

SMALLEST = 32
"""Fewest dimensions in the table of the metric by dimension."""
EQUAL = 0.9999
"""Cosine to the model in torch below which an export in fp32 is wrong."""


@dataclass(frozen=True)
class Proof:
    """What was measured of an export; plain values, as in export.json."""

    metric: str
    """Label of the leading metric."""
    examples: int
    unit: str
    data: str
    torch: float
    """The metric of the model in torch, cut to the dimensions of the export."""
    exported: float
    difference: list[float]
    """The latter minus the former, with the ends of its paired 95 % interval."""
    cosine_min: float
    cosine_mean: float
    """Cosine of each text's embedding to that of the model in torch."""
    texts: int
    by_dimension: dict[str, list[float]]
    """The metric of the model in torch with its 95 % interval, by number of dimensions."""
    bytes: int
    """Size of the graph."""
    speed: dict[str, dict[str, float]]
    """Fields of `Speed`."""
    threads: int
    device: str

    @property
    def gain(self) -> Estimate:
        """The difference of the metric."""
        return Estimate(*self.difference)

    @property
    def estimates(self) -> dict[str, Estimate]:
        """The metric of the model in torch by number of dimensions."""
        return {dim: Estimate(*values) for dim, values in self.by_dimension.items()}

    @classmethod
    def load(cls, values: dict[str, Any]) -> Self:
        """Return the comparison in an export.json; raise `UserError` if it cannot be used."""
        try:
            proof = cls(**values)
            proof.rows(), proof.estimates
        except (TypeError, ValueError, KeyError, AttributeError) as error:
            raise UserError(
                f"expected the comparison of an export, found {shorten(repr(error))}: export again."
            ) from error
        return proof

    def faster(self, other: str) -> tuple[float, float]:
        """Return how many times as fast as `other` the export is for a single text, and in batches."""
        speed = Speed(**self.speed)
        single, many = speed.milliseconds, speed.texts_per_second
        return single[other] / single[EXPORT], many[EXPORT] / many[other]

    def rows(self) -> dict[str, str]:
        """Return what was measured as names and values of a table."""
        speed = Speed(**self.speed)
        single = ", ".join(f"{name} {value:.1f} ms" for name, value in speed.milliseconds.items())
        many = ", ".join(f"{name} {value:,.0f}" for name, value in speed.texts_per_second.items())
        one, batch = self.faster("torch fp32")
        return {
            f"{self.metric} in torch": f"{self.torch:.4f} on {self.examples:,} {self.unit} of {self.data}",
            f"{self.metric} exported": f"{self.exported:.4f}, difference {signed(self.gain)}",
            "cosine to torch": f"{self.cosine_mean:.4f} on average, {self.cosine_min:.4f} at least, of {self.texts:,}",
            "size": f"{self.bytes / 1e6:,.1f} MB",
            "one text": f"{single}: {one:.1f} times as fast as torch fp32",
            f"texts a second, batches of {BATCH}": f"{many}: {batch:.1f} times as fast as torch fp32",
            "measured on": f"{self.device}, {self.threads} thread{'s' * (self.threads > 1)}",
        }


def compare(
    encoder: SentenceTransformer,
    exported: SentenceTransformer,
    evaluated: Evaluated,
    dims: int | None,
    threads: int,
) -> Proof:
    """Return the comparison of an exported encoder with the one in torch, both on the evaluated examples."""
    examples, module = evaluated.examples, exported[0]
    assert isinstance(module, ExportedModule)
    with torch.inference_mode():
        whole, after = (embed(each, examples, BATCH) for each in (encoder, exported))
    before = whole.cut(dims) if dims else whole
    cosines = cosine_similarity(before.vectors, after.vectors)
    found = [evaluate_embedded(each, examples) for each in (before, after)]
    return Proof(
        metric=leading_metric(found[0].shape).label,
        examples=len(examples),
        unit=evaluated.unit,
        data=evaluated.name,
        torch=found[0].leading,
        exported=found[1].leading,
        difference=list(paired_gain(found[0], found[1], evaluated.seed)),
        cosine_min=float(cosines.min()),
        cosine_mean=float(cosines.mean()),
        texts=len(cosines),
        by_dimension=by_dimension(whole, evaluated, dims),
        bytes=graph_size(module.runtime.folder, module.runtime.info.format),
        speed=vars(measure_speed(encoder, module.runtime, list(before.texts))),
        threads=threads,
        device=cpu_name(),
    )


def by_dimension(whole: Embedded, evaluated: Evaluated, dims: int | None) -> dict[str, list[float]]:
    """Return the leading metric of embeddings cut to each of some numbers of dimensions, with its 95 % interval.

    They are all, halves down to `SMALLEST`, `dims`, and those of a Matryoshka training.
    """
    size = whole.vectors.shape[1]
    halves = (size >> power for power in range(1, size.bit_length()))
    chosen = {each for each in halves if each >= SMALLEST} | set(evaluated.dims) | ({dims} if dims else set())
    cuts = tuple(sorted((each for each in chosen if each < size), reverse=True))
    found = evaluate_embedded(whole, evaluated.examples, cuts)
    leading = leading_metric(found.shape)
    table: dict[str, list[float]] = {}
    for dim, metric in {size: leading, **{dim: leading.truncated(dim) for dim in cuts}}.items():
        interval = bootstrap_interval(metric.statistic, *metric.values(found.predictions), evaluated.seed)
        table[str(dim)] = [found.metrics[metric.name], *interval]
    return table


def graph_size(folder: Path, format: str) -> int:
    """Return the bytes of the graph's files."""
    return sum((folder / name).stat().st_size for name in GRAPHS[format])


def check_proof(proof: Proof, precision: str, tolerance: float, what: str) -> None:
    """Raise `UserError` if the export loses more than `tolerance`, or differs from torch in fp32."""
    loss = -proof.difference[0]
    if not loss <= tolerance:
        raise UserError(
            f"{what}: expected to lose at most {tolerance:g} {proof.metric}, found {proof.exported:.4f} instead of"
            f" {proof.torch:.4f} on {proof.examples:,} {proof.unit}, so nothing was written: choose another precision,"
            " or raise export.tolerance."
        )
    if precision == "fp32" and not proof.cosine_min >= EQUAL:
        raise UserError(
            f"{what}: expected embeddings equal to those of torch, found a cosine of {proof.cosine_min:.4f}, so nothing"
            " was written: the exporter of torch does not support this architecture; serve it with"
            " sentence-transformers."
        )


def summary(proof: Proof) -> str:
    """Return what was measured in a sentence."""
    values: dict[str, Any] = proof.rows()
    return (
        f"{proof.metric} {proof.exported:.4f} on {proof.examples:,} {proof.unit} of {proof.data}, {proof.torch:.4f} in"
        f" torch (difference {signed(proof.gain)}); cosine to torch {values['cosine to torch']}; {values['size']}."
    )
