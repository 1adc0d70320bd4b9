"""Every loss is the same on packed batches as on those of sentence-transformers, value and gradients."""

from pathlib import Path
from typing import Any

import pytest
import torch
from sentence_transformers import SentenceTransformer
from sentence_transformers.sentence_transformer.modules import Pooling
from torch.nn.functional import cosine_similarity, cross_entropy, relu

from src.config.training import LOSS_NAMES, LossConfig
from src.data.shapes import SHAPES
from src.packing.attention import packed_attention
from src.training.losses import LOSSES, build_loss
from src.training.support import check_losses
from src.utils.errors import UserError
from tests.training.examples import make_losses, make_set, make_trainer, train_on

SHAPES_AND_LOSSES = [(shape.name, loss) for shape in SHAPES.values() for loss in shape.losses]
PROMPTS = {"query": "질문: ", "passage": "아주 긴 본문: "}


@pytest.fixture
def encoder(tiny_encoder_folder: Path) -> SentenceTransformer:
    return SentenceTransformer(str(tiny_encoder_folder), device="cpu").eval()


def loss_and_gradients(
    encoder: SentenceTransformer, shape: str, loss: LossConfig, batching: str, folder: Path, negatives: int = 1
) -> tuple[torch.Tensor, list[torch.Tensor]]:
    """Return the loss of the first batch of an epoch, without dropout, and the gradients of all weights."""
    data = make_set(shape, negatives=negatives)
    losses = make_losses(encoder, data, loss)
    packed = batching == "packed"
    trainer = make_trainer(encoder, data, losses, folder, batching=batching, used_rows=packed, seed=1)
    with packed_attention(encoder, packed):
        batch = next(iter(trainer.get_train_dataloader()))
        assert ("packed0_input_ids" in batch) == packed
        found = trainer.compute_loss(encoder.eval(), batch)
        weights = [weight for weight in encoder.parameters() if weight.requires_grad]
        gradients = torch.autograd.grad(found, weights, allow_unused=True)
    return found.detach(), [gradient for gradient in gradients if gradient is not None]


def assert_same_loss(encoder: SentenceTransformer, shape: str, loss: LossConfig, folder: Path, **more: int) -> None:
    packed, stock = (
        loss_and_gradients(encoder, shape, loss, batching, folder, **more) for batching in ("packed", "padded")
    )
    assert packed[0] > 0
    torch.testing.assert_close(packed[0], stock[0], atol=1e-4, rtol=0)
    assert len(packed[1]) == len(stock[1]) > 10
    for one, other in zip(packed[1], stock[1], strict=True):
        assert (one - other).norm() <= 1e-3 * other.norm() + 1e-7


def test_every_loss_belongs_to_a_shape() -> None:
    assert {loss for _, loss in SHAPES_AND_LOSSES} == set(LOSSES) == set(LOSS_NAMES) - {"auto"}


@pytest.mark.parametrize("dims", [[], [16, 8]], ids=["whole", "matryoshka"])
@pytest.mark.parametrize(("shape", "loss"), SHAPES_AND_LOSSES)
def test_packed_and_stock_losses_agree(
    shape: str, loss: str, dims: list[int], encoder: SentenceTransformer, tmp_path: Path
) -> None:
    assert_same_loss(encoder, shape, LossConfig(loss, matryoshka_dims=dims), tmp_path)


def test_options_of_losses_agree_too(encoder: SentenceTransformer, tmp_path: Path) -> None:
    assert_same_loss(encoder, "triplets", LossConfig("mnrl", symmetric=True, scale=10), tmp_path, negatives=3)
    assert_same_loss(encoder, "triplets", LossConfig("triplet", margin=0.1), tmp_path)


def cosines(first: torch.Tensor, second: torch.Tensor) -> torch.Tensor:
    return cosine_similarity(first[:, None], second[None], dim=-1)


def hard_pairs(margin: float, distances: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
    """Return the online contrastive loss: of right pairs farther than a wrong one, and wrong ones nearer than right."""
    right, wrong = distances[labels == 1], distances[labels == 0]
    far, near = right[right > wrong.min()], wrong[wrong < right.max()]
    return far.pow(2).sum() + relu(margin - near).pow(2).sum()


def test_options_of_losses_are_those_of_their_formulas(encoder: SentenceTransformer) -> None:
    torch.manual_seed(1)
    anchor, positive, negative = torch.randn(3, 6, 32)
    labels, gold, rows = torch.tensor([1.0, 0, 1, 0, 1, 0]), torch.arange(6) / 5, torch.arange(6)
    pairs = cosine_similarity(anchor, positive)
    higher, lower = zip(*[(i, j) for i in range(6) for j in range(6) if gold[i] > gold[j]], strict=True)

    def found(columns: list[torch.Tensor], given: torch.Tensor | None = None, **options: Any) -> torch.Tensor:
        return build_loss(encoder, LossConfig(**options)).compute_loss_from_embeddings(columns, given)

    def expect(value: torch.Tensor, expected: torch.Tensor) -> None:
        torch.testing.assert_close(value, expected, atol=1e-5, rtol=1e-5)

    for scale in (20.0, 5.0):
        forward = cross_entropy(scale * cosines(anchor, torch.cat([positive, negative])), rows)
        expect(found([anchor, positive, negative], name="mnrl", scale=scale), forward)
        both = (
            cross_entropy(scale * cosines(anchor, positive), rows),
            cross_entropy(scale * cosines(positive, anchor), rows),
        )
        expect(found([anchor, positive], name="mnrl", scale=scale, symmetric=True), torch.stack(both).mean())
        terms = (scale * (pairs[list(lower)] - pairs[list(higher)])).exp().sum()
        expect(found([anchor, positive], gold, name="cosent", scale=scale), torch.log1p(terms))
    for margin in (0.5, 0.1):
        distances = cosine_similarity(anchor, negative) - cosine_similarity(anchor, positive)
        expect(found([anchor, positive, negative], name="triplet", margin=margin), relu(distances + margin).mean())
        contrastive = found([anchor, positive], labels, name="online_contrastive", margin=margin)
        expect(contrastive, hard_pairs(margin, 1 - pairs, labels))
    angles = [found([anchor, positive], gold, name="angle", scale=scale) for scale in (20.0, 5.0)]
    assert angles[0] > angles[1] > 0


@pytest.mark.parametrize("include_prompt", [True, False])
def test_packed_and_stock_losses_agree_with_a_prompt_for_each_column(
    include_prompt: bool, encoder: SentenceTransformer, tmp_path: Path
) -> None:
    encoder.prompts |= PROMPTS
    encoder[1] = Pooling(32, include_prompt=include_prompt)
    assert_same_loss(encoder, "triplets", LossConfig("mnrl"), tmp_path)


def test_more_dimensions_than_the_model_has_are_refused(encoder: SentenceTransformer) -> None:
    with pytest.raises(UserError, match=r"loss\.matryoshka_dims must be numbers up to 32, .* found \[64, 16\]"):
        build_loss(encoder, LossConfig("mnrl", matryoshka_dims=[64, 16]))


def test_all_dimensions_of_the_model_are_trained_besides_the_given_ones(encoder: SentenceTransformer) -> None:
    assert build_loss(encoder, LossConfig("mnrl", matryoshka_dims=[8, 16])).module.matryoshka_dims == (32, 16, 8)
    assert build_loss(encoder, LossConfig("mnrl", matryoshka_dims=[32, 8])).matryoshka_dims == (8,)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"name": "mse"}, r"loss\.name must be one of"),
        ({"name": "mnrl", "scale": 0.0}, r"loss\.scale must be above 0"),
        ({"name": "triplet", "margin": 3.0}, r"loss\.margin must be above 0 and at most 2"),
        ({"name": "mnrl", "matryoshka_dims": [16, 16]}, r"loss\.matryoshka_dims must be different numbers"),
        ({"name": "mnrl", "matryoshka_dims": [0]}, r"loss\.matryoshka_dims must be different numbers above 0"),
        ({"name": "triplet", "symmetric": True}, r"loss\.symmetric must be False unless loss is one of \['mnrl'\]"),
        ({"name": "mnrl", "margin": 0.2}, r"loss\.margin must be 0\.5 unless loss is one of \['triplet'"),
    ],
)
def test_impossible_options_of_a_loss_are_refused(options: dict[str, object], words: str) -> None:
    with pytest.raises(UserError, match=words):
        LossConfig(**options)


def test_several_negatives_are_no_triplet(encoder: SentenceTransformer) -> None:
    data = make_set("triplets", negatives=2)
    with pytest.raises(UserError, match="expected one negative for each anchor of train, found 2: set loss=mnrl"):
        check_losses(data, {data.name: build_loss(encoder, LossConfig("triplet"))})


@pytest.mark.parametrize(("shape", "loss"), SHAPES_AND_LOSSES)
def test_every_loss_trains(shape: str, loss: str, encoder: SentenceTransformer, tmp_path: Path) -> None:
    options = LossConfig(loss, matryoshka_dims=[8])
    training = train_on(encoder, make_set(shape), tmp_path, options, epochs=6, checkpoints=False)
    assert training.curve[-1].validation_loss < training.curve[0].validation_loss
