"""One matrix product for query, key and value gives what three give."""

import pytest
import torch
from torch import nn

from src.packing.projections import fused_qkv, qkv_layers


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
