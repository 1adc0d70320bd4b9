"""Modules that are cheaper to train compute what the encoder's own modules compute."""

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from datasets import Dataset
from sentence_transformers import SentenceTransformer
from torch import nn

from src.config import Config
from src.evaluation.metrics import SPEARMAN
from src.training.packing import tokenize
from src.training.speedups import (
    ByteDropout,
    dropout,
    embedding_subset,
    fast_dropout,
    fused_qkv,
    qkv_layers,
    used_tokens,
)
from src.utils.errors import UserError
from tests.training.test_fine_tune import FP32, train

TinyConfig = Callable[..., Config]
ONES = torch.ones(400, 1001)
PAIRS = Dataset.from_dict({"sentence1": ["방", "창"], "sentence2": ["방이", "넓다"], "score": [1.0, 0.0]})


@pytest.mark.parametrize("rate", [0.1, 0.25, 0.5])
def test_dropout_keeps_rate_and_expectation(rate: float) -> None:
    torch.manual_seed(0)
    dropped = dropout(ONES, rate, training=True)
    assert (dropped == 0).float().mean().item() == pytest.approx(rate, abs=0.005)
    assert dropped.mean().item() == pytest.approx(1, abs=0.01)
    assert dropped.unique().numel() == 2


def test_nothing_is_dropped_outside_training_or_at_rate_zero() -> None:
    assert dropout(ONES, 0.5, training=False) is ONES
    assert dropout(ONES, 0.0, training=True) is ONES


def test_masks_follow_the_global_seed_and_differ_from_call_to_call() -> None:
    torch.manual_seed(3)
    first, second = dropout(ONES, 0.3, True), dropout(ONES, 0.3, True)
    torch.manual_seed(3)
    assert torch.equal(dropout(ONES, 0.3, True), first)
    assert not torch.equal(first, second)


def test_gradient_is_zero_where_dropped() -> None:
    values = ONES.clone().requires_grad_()
    dropped = dropout(values, 0.5, True)
    dropped.sum().backward()
    assert values.grad is not None
    assert torch.equal(values.grad == 0, dropped == 0)


def test_layers_are_replaced_only_within_the_block() -> None:
    model = nn.Sequential(nn.Dropout(0.5), nn.Linear(2, 2), nn.Sequential(nn.Dropout(0.1)))
    with fast_dropout(model, enabled=True):
        assert [type(layer) for layer in model.modules()].count(ByteDropout) == 2
    with fast_dropout(model, enabled=False):
        assert not any(isinstance(layer, ByteDropout) for layer in model.modules())


class Attention(nn.Module):
    def __init__(self, value: nn.Module) -> None:
        super().__init__()
        self.query, self.key, self.value = nn.Linear(8, 4), nn.Linear(8, 6), value

    def forward(self, states: torch.Tensor, others: torch.Tensor) -> torch.Tensor:
        return torch.cat([self.query(states), self.key(others), self.value(others)], -1)


@pytest.fixture
def attention() -> Attention:
    torch.manual_seed(0)
    return Attention(nn.Linear(8, 2))


def outputs(attention: Attention, states: torch.Tensor, others: torch.Tensor) -> list[torch.Tensor]:
    output = attention(states, others)
    weights = torch.linspace(-1, 1, output.numel()).view_as(output)
    return [output, *torch.autograd.grad((output * weights).sum(), list(attention.parameters()))]


@pytest.mark.parametrize("same", [True, False])
def test_fused_outputs_and_gradients_equal_those_of_separate_layers(attention: Attention, same: bool) -> None:
    states = torch.randn(3, 5, 8)
    others = states if same else torch.randn(3, 5, 8)
    expected = outputs(attention, states, others)
    with fused_qkv(attention, True):
        found = outputs(attention, states, others)
    torch.testing.assert_close(found, expected)
    torch.testing.assert_close(outputs(attention, states, others), expected, atol=0, rtol=0)


def test_three_projections_are_one_product(attention: Attention, monkeypatch: pytest.MonkeyPatch) -> None:
    widths: list[int] = []
    linear = nn.functional.linear

    def counted(states: torch.Tensor, weight: torch.Tensor, bias: torch.Tensor | None = None) -> torch.Tensor:
        widths.append(len(weight))
        return linear(states, weight, bias)

    monkeypatch.setattr(nn.functional, "linear", counted)
    states = torch.randn(1, 8)
    with fused_qkv(attention, True):
        attention(states, states)
    assert widths == [12]


def test_the_weights_keep_their_names(attention: Attention) -> None:
    names = list(attention.state_dict())
    with fused_qkv(attention, True):
        assert list(attention.state_dict()) == names


@pytest.mark.parametrize("value", [nn.Identity(), nn.Linear(9, 2), nn.Linear(8, 2, bias=False)])
def test_layers_that_do_not_fit_together_stay_apart(value: nn.Module) -> None:
    assert qkv_layers(Attention(value)) == []


@pytest.fixture
def encoder(tiny_encoder_folder: Path) -> SentenceTransformer:
    return SentenceTransformer(str(tiny_encoder_folder), device="cpu").eval()


def test_training_the_used_rows_alone_gives_the_same_weights_and_curve(tiny_config: TinyConfig) -> None:
    some, weights = train(tiny_config(FP32))
    every, expected = train(tiny_config(FP32, "trainer.used_rows=false"))
    torch.testing.assert_close(weights, expected, atol=1e-6, rtol=0)
    assert [row.step for row in some.curve] == [row.step for row in every.curve]
    assert some.curve[-1].metrics[SPEARMAN] == pytest.approx(every.curve[-1].metrics[SPEARMAN], abs=1e-6)


def test_used_tokens_are_those_of_the_pairs(encoder: SentenceTransformer) -> None:
    expected = {token for text in ("방", "창", "방이", "넓다") for token in encoder.tokenizer(text)["input_ids"]}
    assert set(used_tokens([tokenize(PAIRS, encoder)]).tolist()) == expected


def test_a_change_of_the_rows_is_seen_by_an_evaluation_and_by_a_checkpoint(
    encoder: SentenceTransformer, tmp_path: Path
) -> None:
    used = used_tokens([tokenize(PAIRS, encoder)])
    before = encoder.encode(["방이 넓다", "다른 말"])
    with embedding_subset(encoder[0].model, used):
        encoder.train()
        with torch.no_grad():
            encoder[0].model.get_input_embeddings().rows.neg_()
        encoder.save_pretrained(str(tmp_path / "checkpoint"))
        during = encoder.encode(["방이 넓다", "다른 말"])
    after = encoder.encode(["방이 넓다", "다른 말"])
    assert abs(during[0] - before[0]).max() > 1e-3
    assert (after == during).all()
    assert (SentenceTransformer(str(tmp_path / "checkpoint")).encode(["방이 넓다", "다른 말"]) == after).all()


def test_a_table_that_does_more_than_look_up_is_left_alone(encoder: SentenceTransformer) -> None:
    class Scaled(torch.nn.Embedding):
        """As in Gemma."""

    scaled = Scaled(10, 4)
    encoder[0].model.set_input_embeddings(scaled)
    with embedding_subset(encoder[0].model, torch.arange(3)):
        assert encoder[0].model.get_input_embeddings() is scaled


@pytest.mark.parametrize("override", ["trainer.weight_decay=0.01", "trainer.batching=padded"])
def test_an_embedding_subset_that_would_change_the_result_is_refused(override: str, tiny_config: TinyConfig) -> None:
    with pytest.raises(UserError, match=r"trainer\.used_rows"):
        tiny_config(override)
