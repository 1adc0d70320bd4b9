"""The same prompts everywhere: each text of a column becomes the same token ids, whatever reads it."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import wraps
from pathlib import Path
from typing import Any

import mlflow
import pandas as pd
import pytest
import torch
from datasets import Dataset
from mlflow import MlflowClient
from sentence_transformers import SentenceTransformer
from sentence_transformers.base.modules import Transformer

import src.train
from src.config import Config
from src.config.commands import PredictConfig
from src.encoder import load_encoder
from src.encoder.prompts import prompt_for
from src.evaluation.embedding import embed
from src.packing.attention import packed_attention
from src.packing.batches import PackedCollator, embed_packed
from src.packing.tokens import tokenize
from src.pipeline.reproduce import restore_config
from src.prediction import run_prediction
from src.tracking.registry import EXAMPLE
from tests.conftest import features_of

PROMPTS = {"query": "질문: ", "passage": "찾은 글: "}
COLUMNS = {
    "anchor": "query",
    "positive": "passage",
    "negative": "passage",
    "sentence1": "query",
    "sentence2": "passage",
}
SETTINGS = (
    "++model.prompts={query: '질문: ', passage: '찾은 글: '}",
    f"++model.column_prompts={{{', '.join(f'{column}: {name}' for column, name in COLUMNS.items())}}}",
)
OTHERS = {"가", *EXAMPLE}
"""Texts that are embedded when a model is loaded and logged, with the default prompt."""

TinyConfig = Callable[..., Config]
Ids = set[tuple[int, ...]]
"""Token ids of texts."""


def triplets(split: str) -> pd.DataFrame:
    things, numbers = ("방", "침대", "욕실"), range(8)
    texts = {"anchor": "{} {} {}은 어때요?", "positive": "{} {} {}이 좋아요", "negative": "{} {} {} 얘기는 없어요"}
    rows = {name: [text.format(split, i, things[i % 3]) for i in numbers] for name, text in texts.items()}
    return pd.DataFrame(rows)


@pytest.fixture(scope="module")
def ids(tiny_encoder_folder: Path) -> Callable[[Any], Ids]:
    """Return the token ids of the texts of a table, each with the prompt of its column, or of bare texts."""
    tokenizer = SentenceTransformer(str(tiny_encoder_folder), device="cpu").tokenizer

    def found(texts: pd.DataFrame | set[str]) -> Ids:
        if isinstance(texts, pd.DataFrame):
            texts = {PROMPTS[COLUMNS[column]] + text for column in texts for text in texts[column]}
        return {tuple(each) for each in tokenizer(list(texts))["input_ids"]}

    return found


@dataclass(frozen=True)
class Seen:
    """The token ids that transformers received, in training and in evaluation mode."""

    training: Ids
    evaluation: Ids


@contextmanager
def reading() -> Iterator[Seen]:
    """Record every text that any transformer receives in the block."""
    seen, forward = Seen(set(), set()), Transformer.forward

    @wraps(forward)
    def recorded(self: Any, features: dict[str, Any], **options: Any) -> Any:
        tokens = features["input_ids"]
        if "pack_rows" in features:
            segments = tokens[0].split(features["cu_seq_lens_q"].diff().tolist())
            texts = [segment for segment in segments if len(segment.unique()) > 1]  # a filler repeats one token
        else:
            texts = [row[mask.bool()] for row, mask in zip(tokens, features["attention_mask"], strict=True)]
        into = seen.training if self.training else seen.evaluation
        into.update(tuple(text.tolist()) for text in texts)
        return forward(self, features, **options)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Transformer, "forward", recorded)
        yield seen


@pytest.fixture(params=["default", "stock"])
def trained(request: pytest.FixtureRequest, tiny_config: TinyConfig, tmp_path: Path) -> tuple[Config, Seen]:
    """A training on triplets with prompts, packed or by the stock trainer, and the texts that it has seen."""
    for split in ("train", "dev"):
        triplets(split).to_csv(tmp_path / f"{split}.csv", index=False)
    files = (f"data.train={tmp_path}/train.csv", f"data.dev={tmp_path}/dev.csv")
    with reading() as seen:
        config = tiny_config(f"trainer={request.param}", "loss=mnrl", "trainer.eval_steps=2", *files, *SETTINGS)
        src.train.run(config)
    return config, seen


def test_every_place_reads_the_same_tokens(
    trained: tuple[Config, Seen], ids: Callable[[Any], Ids], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (config, seen), others = trained, ids(OTHERS)
    train, dev = triplets("train"), triplets("dev")
    assert seen.training == ids(train)
    assert ids(dev) <= seen.evaluation - others <= ids(dev) | ids(train)

    anchors, documents = dev[["anchor"]], pd.concat([dev["positive"], dev["negative"]])
    anchors.to_csv(tmp_path / "queries.csv", index=False)
    documents.to_frame("text").to_csv(tmp_path / "candidates.csv", index=False)
    dev.set_axis(["sentence1", "sentence2", "other"], axis=1).to_csv(tmp_path / "pairs.csv", index=False)
    files = {"queries": f"{tmp_path}/queries.csv", "candidates": f"{tmp_path}/candidates.csv"}
    with reading() as ranked:
        run_prediction(PredictConfig(model=config.folder, **files))
    assert ranked.evaluation - others == ids(dev)
    with reading() as scored:
        run_prediction(PredictConfig(model=config.folder, pairs=f"{tmp_path}/pairs.csv"))
    assert scored.evaluation - others == ids(dev[["anchor", "positive"]])

    with reading() as plain:
        model = SentenceTransformer(f"{config.folder}/model", device="cpu")
        model.encode_query(dev["anchor"].tolist())
        model.encode_document(documents.tolist())
    assert plain.evaluation == ids(dev)

    monkeypatch.setenv("MLFLOW_TRACKING_URI", config.tracking.uri)
    with reading() as served:
        logged = mlflow.pyfunc.load_model("models:/tiny/1")
        logged.predict(dev["anchor"].tolist(), {"prompt_name": "query"})
        logged.predict(documents.tolist(), {"prompt_name": "passage"})
    assert served.evaluation == ids(dev)


def test_prompts_are_recorded_and_restored_for_another_training(tiny_config: TinyConfig, tmp_path: Path) -> None:
    config = tiny_config(*SETTINGS, "trainer.max_steps=1")
    result = src.train.run(config)
    restored = restore_config(Path(config.folder) / "config.yaml", tmp_path / "again").model
    assert (restored.prompts, restored.column_prompts) == (PROMPTS, COLUMNS)
    params = MlflowClient(config.tracking.uri).get_run(result.run_id).data.params
    assert params["model.prompts.query"] == "질문: " and params["model.column_prompts.negative"] == "passage"


@pytest.mark.parametrize("include_prompt", [True, False])
def test_packed_training_embeds_as_evaluation_does(
    include_prompt: bool, tiny_config: TinyConfig, tiny_encoder_folder: Path, tmp_path: Path
) -> None:
    base = SentenceTransformer(str(tiny_encoder_folder), device="cpu")
    base.set_pooling_include_prompt(include_prompt)
    base.save_pretrained(str(tmp_path / "base"), create_model_card=False)
    encoder = load_encoder(tiny_config(f"model.path={tmp_path}/base", *SETTINGS).model)
    examples = Dataset.from_pandas(triplets("dev"))
    collate = PackedCollator.for_encoder(encoder, torch.float32)
    with packed_attention(encoder, True), torch.no_grad():
        packed = embed_packed(encoder, features_of(collate(list(tokenize(examples, encoder)))))
    evaluated = embed(encoder, examples, 4)
    for column, embeddings in zip(("anchor", "positive", "negative"), packed, strict=True):
        torch.testing.assert_close(embeddings, evaluated.embeddings(column, slice(None)), atol=1e-5, rtol=0)
        single = encoder.encode(examples[column], prompt=prompt_for(encoder, column), convert_to_tensor=True)
        torch.testing.assert_close(embeddings, single, atol=1e-5, rtol=0)
