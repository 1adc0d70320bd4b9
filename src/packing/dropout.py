"""Dropout with masks made from random bytes, in attention and in place of the layers of an encoder."""

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn


def dropout(values: Tensor, rate: float, training: bool) -> Tensor:
    """Return `values` with about `rate` of them set to 0 and the rest scaled up, or unchanged outside training.

    The mask needs one random byte for each value, not a whole random number. The rate is rounded to 256ths (0.1 becomes
    26/256 = 0.1016) and the kept values are scaled by the rounded rate, so the expectation stays exact; but in bf16 the
    scale is rounded too, which at 0.1 makes the values 0.3 % smaller.
    """
    dropped = min(round(rate * 256), 255)  # of a rate above 0.998 too, one in 256 is kept
    if not training or dropped == 0:
        return values
    count = values.numel()
    noise = torch.empty((count + 7) // 8, dtype=torch.int64, device=values.device).random_(-(2**63), None)
    # clamping and subtracting bytes gives 0 or 1 in a tenth of the CPU time of a comparison and a cast from bool
    kept = noise.view(torch.uint8)[:count].clamp_(dropped - 1, dropped).sub_(dropped - 1).view(values.shape)
    return values * kept.to(values.dtype).mul_(256 / (256 - dropped))


class ByteDropout(nn.Dropout):
    """`nn.Dropout` with masks made from random bytes."""

    def forward(self, input: Tensor) -> Tensor:
        """Return the input with dropout applied."""
        return dropout(input, self.p, self.training)


@contextmanager
def fast_dropout(model: nn.Module, enabled: bool) -> Iterator[None]:
    """Use `ByteDropout` in place of every `nn.Dropout` of the model for the duration of the block, if `enabled`."""
    layers = [module for module in model.modules() if type(module) is nn.Dropout] if enabled else []
    for layer in layers:
        layer.__class__ = ByteDropout
    try:
        yield
    finally:
        for layer in layers:
            layer.__class__ = nn.Dropout
