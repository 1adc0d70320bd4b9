"""Scores of models on the sets of a suite: each distinct sentence is encoded once for each model."""

import logging
from collections.abc import Sequence
from dataclasses import dataclass

from sentence_transformers import SentenceTransformer

from src.config.evaluation import EvaluateConfig
from src.data.examples import digest
from src.data.sentences import Digests, count_seen, sentence_digests
from src.evaluation.embedding import embed_all
from src.evaluation.evaluate import Evaluation, estimates, evaluate_embedded
from src.evaluation.metrics import Metric, leading_metric
from src.evaluation.names import rows_of
from src.evaluation.statistics import Estimate
from src.suite.harness import find_tasks, run_tasks
from src.suite.models import SuiteModel
from src.suite.sets import LoadedSet
from src.suite.verdicts import Scored, Verdict, verdicts
from src.training.precision import choose_precision, use_threads

MtebScores = dict[str, dict[str, dict[str, float]]]
"""Metrics of tasks of MTEB, by task, model and name."""

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class SetResult:
    """Scores of all models on one set, and how the first model differs from the others."""

    name: str
    source: str
    """Where the examples come from."""
    shape: str
    rows: int
    """Number of pairs, or of queries."""
    digest: str
    """Digest of the examples."""
    sentences: int
    """Number of distinct sentences."""
    seen: int | None
    """Number of them in the training set of the first model, None if that is not known."""
    scores: dict[str, dict[str, Estimate]]
    """Metrics with intervals by model and name."""
    verdicts: list[Verdict]

    @property
    def metric(self) -> Metric:
        """The leading metric."""
        return leading_metric(self.shape)

    @property
    def unit(self) -> str:
        """What the rows are: pairs or queries."""
        return rows_of(self.metric)


def evaluate_models(
    models: Sequence[SuiteModel], sets: Sequence[LoadedSet], config: EvaluateConfig
) -> tuple[list[SetResult], str, MtebScores]:
    """Return the result on each set, the precision of the embeddings, and the metrics of MTEB."""
    use_threads(config.threads)
    precision = choose_precision(config.precision)
    tasks = find_tasks(config.mteb) if config.mteb else []
    scored = {}
    mteb: MtebScores = {task.metadata.name: {} for task in tasks}
    for model in models:
        log.info(f"Evaluating {model.name}")
        encoder = model.load()
        scored[model.name] = score(encoder, sets, config.batch_size, precision)
        for task, values in run_tasks(encoder, tasks, config.batch_size).items():
            mteb[task][model.name] = values
    found = verdicts(scored, [one.name for one in sets], config.seed)
    return [_summarise(one, models[0].seen, scored, found, config.seed) for one in sets], precision, mteb


def score(
    encoder: SentenceTransformer, sets: Sequence[LoadedSet], batch_size: int, precision: str
) -> dict[str, Evaluation]:
    """Return the evaluation of an encoder on each set."""
    if not sets:
        return {}
    embedded = embed_all(encoder, [one.examples for one in sets], batch_size, precision)
    return {one.name: evaluate_embedded(each, one.examples) for one, each in zip(sets, embedded, strict=True)}


def _summarise(one: LoadedSet, seen: Digests | None, scored: Scored, found: Sequence[Verdict], seed: int) -> SetResult:
    evaluations = {model: evaluated[one.name] for model, evaluated in scored.items()}
    first = next(iter(evaluations.values()))
    return SetResult(
        name=one.name,
        source=one.described,
        shape=first.shape,
        rows=len(first.predictions),
        digest=digest(one.examples),
        sentences=len(sentence_digests([one.examples])),
        seen=None if seen is None else count_seen(one.examples, seen),
        scores={model: estimates(evaluation, seed) for model, evaluation in evaluations.items()},
        verdicts=[verdict for verdict in found if verdict.set == one.name],
    )
