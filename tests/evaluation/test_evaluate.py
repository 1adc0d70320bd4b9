"""An evaluation of each shape gives the numbers of the library's evaluators, and draws no random numbers."""

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from datasets import Dataset
from sentence_transformers import SentenceTransformer
from sentence_transformers.sentence_transformer import losses

from src.config.training import TrainerConfig
from src.data.shapes import shape_of
from src.evaluation import embedding
from src.evaluation.embedding import embed
from src.evaluation.evaluate import Evaluation, batches_of, estimates, evaluate, evaluate_sets, paired_gain
from src.evaluation.library import library_evaluator
from src.evaluation.metrics import PEARSON, SPEARMAN, metrics_of

PAIRS = {
    "sentence1": ["방이 깨끗해요", "위치가 좋아요", "방이 깨끗해요", "시끄러워요", "또 올게요"],
    "sentence2": ["청결한 방", "위치가 좋아요", "시끄러워요", "조용하지 않아요", "다시 안 와요"],
}
SCORED = Dataset.from_dict(PAIRS | {"score": [0.9, 1.0, 0.0, 0.8, 0.3]})
LABELLED = Dataset.from_dict(PAIRS | {"label": [1, 1, 0, 1, 0]})
RNG = np.random.default_rng(5)
TEXTS = [f"{thing}{word} {end}" for thing in "방침욕주동" for word in "이은도만" for end in ("좋아요", "싫다", "넓다")]
TRIPLETS = Dataset.from_dict({name: RNG.choice(TEXTS, 150).tolist() for name in ("anchor", "positive", "negative")})
SEVERAL = TRIPLETS.rename_column("negative", "negative_1").add_column("negative_2", TRIPLETS["positive"][::-1])
POSITIVES = TRIPLETS.remove_columns("negative")
# characters that the tokenizer does not know are all the same to it
TIES = Dataset.from_dict(
    {
        "anchor": ["방이 좋아요", "방이 좋아요", "漢字", "가나다", "라마바"],
        "positive": ["字漢", "방이 넓다", "日本", "漢日", "本字"],
        "negative": ["日本", "字漢", "本字", "字本", "방이 넓다"],
    }
)
SETS = {
    "scored": SCORED,
    "labelled": LABELLED,
    "positives": POSITIVES,
    "triplets": TRIPLETS,
    "several negatives": SEVERAL,
    "ties": TIES,
}


@pytest.fixture
def encoder(tiny_encoder_folder: Path) -> SentenceTransformer:
    return SentenceTransformer(str(tiny_encoder_folder), device="cpu")


def loss_of(examples: Dataset, encoder: SentenceTransformer) -> Any:
    label = shape_of(examples).label
    if label is None:
        return losses.MultipleNegativesRankingLoss(encoder)
    return losses.CosineSimilarityLoss(encoder) if label == "score" else losses.OnlineContrastiveLoss(encoder)


def evaluated(encoder: SentenceTransformer, examples: Dataset, dims: tuple[int, ...] = (), **config: Any) -> Evaluation:
    loss = loss_of(examples, encoder)
    loss.matryoshka_dims = dims
    return evaluate(encoder, examples, loss, TrainerConfig(**config))


@pytest.mark.parametrize("examples", SETS.values(), ids=SETS)
def test_metrics_equal_those_of_the_librarys_evaluators(examples: Dataset, encoder: SentenceTransformer) -> None:
    expected = library_evaluator(examples, "dev", 200)(encoder)
    found = evaluated(encoder, examples).metrics
    assert list(found) == [metric.name for metric in metrics_of(shape_of(examples).name)]
    # cosines between 0.93 and 1 amplify the rounding of packed batches in Pearson to 1.4e-6
    assert found == pytest.approx({name: expected[f"dev_{name}"] for name in found}, abs=3e-6)
    assert 0 < found[next(iter(found))] <= 1


def test_metrics_of_cut_embeddings_equal_those_of_the_library(encoder: SentenceTransformer) -> None:
    found = evaluated(encoder, TRIPLETS, dims=(16, 8)).metrics
    assert list(found) == [metric.name for metric in metrics_of("triplets", (16, 8))]
    for dim in (16, 8):
        encoder.truncate_dim = dim
        expected = library_evaluator(TRIPLETS, "dev", 200)(encoder)
        for metric in metrics_of("triplets"):
            assert found[f"{metric.name}_dim_{dim}"] == pytest.approx(expected[f"dev_{metric.name}"], abs=1e-6)


@pytest.mark.parametrize("examples", [SCORED, LABELLED, TRIPLETS])
def test_metrics_are_computed_from_the_predictions_and_lie_in_their_intervals(
    examples: Dataset, encoder: SentenceTransformer
) -> None:
    found = evaluated(encoder, examples, dims=(8,))
    for metric in found.of_shape:
        assert metric.compute(found.predictions) == found.metrics[metric.name]
    for name, (value, low, high) in estimates(found, seed=1).items():
        assert value == found.metrics[name]
        assert low <= value <= high


def test_a_query_has_its_best_right_and_wrong_candidate(encoder: SentenceTransformer) -> None:
    table = evaluated(encoder, TRIPLETS).predictions.set_index("anchor")
    assert set(table.index) == set(TRIPLETS["anchor"])
    right = TRIPLETS.to_pandas().groupby("anchor")["positive"].agg(set)
    candidates = sorted({*TRIPLETS["positive"], *TRIPLETS["negative"]})
    vectors = encoder.encode(candidates, convert_to_tensor=True)
    for anchor in table.index[:20]:
        scores = pd.Series(encoder.similarity(encoder.encode(anchor), vectors)[0], candidates).sort_values()
        ours = table.loc[anchor]
        assert ours["positive"] == scores[list(right[anchor])].idxmax()
        assert ours["wrong"] == scores.drop(list(right[anchor])).idxmax()
        assert ours["predicted"] == pytest.approx(scores[ours["positive"]], abs=1e-6)
        assert ours["predicted_wrong"] == pytest.approx(scores[ours["wrong"]], abs=1e-6)
        assert ours["rank"] == len(scores) - scores.index.get_loc(ours["positive"])
        assert ours["positives"] == len(right[anchor])
    assert table["triplets"].sum() == len(TRIPLETS)


def test_a_query_without_wrong_candidates_has_none(encoder: SentenceTransformer) -> None:
    examples = Dataset.from_dict({"anchor": ["가", "가", "나"], "positive": ["다", "라", "라"]})
    table = evaluated(encoder, examples).predictions
    assert table["wrong"].isna().tolist() == table["predicted_wrong"].isna().tolist() == [True, False]
    assert table["rank"][0] == 1


@pytest.mark.parametrize("value", [0.5, float("nan")])
@pytest.mark.parametrize("examples", [SCORED, LABELLED, TRIPLETS])
def test_metrics_of_equal_or_non_finite_embeddings_are_nan(
    value: float, examples: Dataset, encoder: SentenceTransformer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(embedding, "encode", lambda encoder, texts, *_: torch.full((len(texts), 4), value))
    assert np.isnan(list(evaluated(encoder, examples, dims=(2,)).metrics.values())).all()


def test_validation_loss_is_the_mean_squared_error(encoder: SentenceTransformer) -> None:
    found = evaluated(encoder, SCORED, batch_size=2)
    table = found.predictions
    assert found.loss == pytest.approx(np.mean((table["predicted"] - table["gold"]) ** 2), abs=1e-6)


def test_a_batch_of_the_validation_loss_has_no_text_twice_and_none_is_left_out(encoder: SentenceTransformer) -> None:
    batches = list(batches_of(TRIPLETS, shape_of(TRIPLETS), 16))
    assert sorted(row for batch in batches for row in batch) == list(range(len(TRIPLETS)))
    for batch in batches:
        texts = [text for row in batch for text in {*TRIPLETS[row].values()}]
        assert len(texts) == len(set(texts))
    loss = losses.MultipleNegativesRankingLoss(encoder)
    with torch.no_grad():
        by_batch = [
            loss.compute_loss_from_embeddings(
                [encoder.encode(column, convert_to_tensor=True) for column in texts], None
            )
            for texts in ([TRIPLETS[batch][name] for name in TRIPLETS.column_names] for batch in batches)
        ]
    expected = np.average(by_batch, weights=[len(batch) for batch in batches])
    assert evaluated(encoder, TRIPLETS, batch_size=16).loss == pytest.approx(expected, abs=1e-5)


@pytest.mark.parametrize("examples", [SCORED, LABELLED, TRIPLETS])
def test_evaluations_are_the_same_and_draw_no_random_number(examples: Dataset, encoder: SentenceTransformer) -> None:
    before, numpy_before = torch.get_rng_state(), np.random.get_state()[1].copy()
    first, second = evaluated(encoder.train(), examples), evaluated(encoder, examples)
    assert (first.metrics, first.loss) == (second.metrics, second.loss)
    assert torch.equal(before, torch.get_rng_state())
    assert (numpy_before == np.random.get_state()[1]).all()
    assert not encoder.training


def test_equal_sentences_are_encoded_once(encoder: SentenceTransformer, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[str] = []
    encode = embedding.encode
    monkeypatch.setattr(
        embedding, "encode", lambda encoder, texts, *options: seen.extend(texts) or encode(encoder, texts, *options)
    )
    embedded = embed(encoder, SCORED, 8)
    assert seen == list(dict.fromkeys([*SCORED["sentence1"], *SCORED["sentence2"]]))
    first, second = (embedded.embeddings(name, slice(None)) for name in PAIRS)
    assert torch.equal(first[1], second[1])


def test_each_column_is_encoded_with_its_prompt(encoder: SentenceTransformer, monkeypatch: pytest.MonkeyPatch) -> None:
    encoder.prompts = {"query": "질문: ", "passage": "본문: "}
    seen: list[tuple[str, str]] = []
    encode = embedding.encode

    def encoded(encoder: SentenceTransformer, texts: list[str], prompt: str, *options: Any) -> Any:
        seen.extend((prompt, text) for text in texts)
        return encode(encoder, texts, prompt, *options)

    with monkeypatch.context() as patch:
        patch.setattr(embedding, "encode", encoded)
        found = evaluated(encoder, SEVERAL).metrics
    queries = {("질문: ", text) for text in SEVERAL["anchor"]}
    documents = {("본문: ", text) for name in SEVERAL.column_names[1:] for text in SEVERAL[name]}
    assert len(seen) == len(set(seen))
    assert set(seen) == queries | documents
    expected = library_evaluator(SEVERAL, "dev", 200)(encoder)
    assert found == pytest.approx({name: expected[f"dev_{name}"] for name in found}, abs=1e-6)


def test_gold_scores_keep_their_full_precision(encoder: SentenceTransformer) -> None:
    pairs = SCORED.remove_columns("score").add_column("score", [0.7, 0.1, 0.3, 1 / 3, 0.9])
    assert evaluated(encoder, pairs).predictions["gold"].tolist() == [0.7, 0.1, 0.3, 1 / 3, 0.9]


def test_a_mixture_is_led_by_its_first_set_and_has_the_metrics_of_all(encoder: SentenceTransformer) -> None:
    splits = {"sts": SCORED, "nli": TRIPLETS}
    found = evaluate_sets(
        encoder, splits, {name: loss_of(split, encoder) for name, split in splits.items()}, TrainerConfig()
    )
    alone = {name: evaluated(encoder, split) for name, split in splits.items()}
    assert (found.leading, found.loss) == (alone["sts"].leading, alone["sts"].loss)
    assert found.metrics == alone["sts"].metrics | {f"nli/{k}": value for k, value in alone["nli"].metrics.items()}
    assert list(found.metrics)[:2] == [SPEARMAN, PEARSON]
    intervals = estimates(found, seed=3)
    assert {name: estimate.value for name, estimate in intervals.items()} == found.metrics
    assert intervals["nli/cosine_mrr_at_10"] == estimates(alone["nli"], seed=3)["cosine_mrr_at_10"]


@pytest.mark.parametrize("examples", [SCORED, LABELLED, TRIPLETS])
def test_the_gain_is_paired(examples: Dataset, encoder: SentenceTransformer) -> None:
    before = evaluated(encoder, examples)
    encoder[0].model.encoder.layer[0].attention.self.query.weight.data.mul_(1.2)
    after = evaluated(encoder, examples)
    gain = paired_gain(before, after, seed=1)
    assert gain.value == after.leading - before.leading
    assert gain.low <= gain.value <= gain.high
    single = next(iter(estimates(after, seed=1).values()))
    assert gain.high - gain.low < single.high - single.low  # errors are shared
    assert paired_gain(before, before, seed=1) == (0, 0, 0)
