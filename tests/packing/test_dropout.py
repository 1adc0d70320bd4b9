"""Dropout with random bytes keeps rate, expectation and gradient of dropout, and follows the seed."""

import pytest
import torch
from torch import nn

from src.packing.dropout import ByteDropout, dropout, fast_dropout

ONES = torch.ones(400, 1001)


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


def test_of_almost_all_values_some_are_kept() -> None:
    dropped = dropout(ONES, 0.999, True)
    assert dropped.isfinite().all()
    assert 0 < (dropped != 0).float().mean() < 0.01


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
