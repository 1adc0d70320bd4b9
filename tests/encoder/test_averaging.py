"""The weighted mean of encoders, and encoders that have none."""

import shutil
from pathlib import Path

import pytest
import torch
from sentence_transformers import SentenceTransformer
from sentence_transformers.sentence_transformer.modules import Pooling

from src.encoder.averaging import average_encoders
from src.utils.errors import UserError


def changed(encoder: Path, folder: Path, seed: int) -> Path:
    """Save the encoder with other weights, and return its folder."""
    found = SentenceTransformer(str(encoder), device="cpu")
    noise = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for weight in found.parameters():
            weight += torch.randn(weight.shape, generator=noise)
    found.save_pretrained(str(folder / str(seed)))
    return folder / str(seed)


def test_each_encoder_has_the_share_of_its_weight(tiny_encoder_folder: Path, tmp_path: Path) -> None:
    folders = [changed(tiny_encoder_folder, tmp_path, seed) for seed in (1, 2, 3)]
    averaged = average_encoders(folders, [1, 2, 5]).state_dict()
    first, second, third = (SentenceTransformer(str(folder), device="cpu").state_dict() for folder in folders)
    for name, values in averaged.items():
        expected = (first[name].double() + 2 * second[name].double() + 5 * third[name].double()) / 8
        assert values.dtype == first[name].dtype and torch.allclose(values.double(), expected, atol=1e-7)
    assert not average_encoders(folders[:1], [1]).training


@pytest.mark.parametrize("change", ["pooling", "width"])
def test_an_encoder_unlike_the_first_is_refused(change: str, tiny_encoder_folder: Path, tmp_path: Path) -> None:
    other = SentenceTransformer(str(tiny_encoder_folder), device="cpu")
    if change == "pooling":
        other[1] = Pooling(32, "cls")
    else:
        other[0].model.resize_token_embeddings(other[0].model.config.vocab_size + 8)
    other.save_pretrained(str(tmp_path / "other"))
    found = "other modules" if change == "pooling" else r"0\.model\.embeddings\.word_embeddings\.weight \(\d+, 32\) and"
    with pytest.raises(UserError, match=rf"other: expected an encoder with the modules .* found {found}"):
        average_encoders([tiny_encoder_folder, tmp_path / "other"], [1, 1])


def test_an_encoder_with_another_vocabulary_of_the_same_size_is_refused(
    tiny_encoder_folder: Path, tmp_path: Path
) -> None:
    other = tmp_path / "other"
    shutil.copytree(tiny_encoder_folder, other)
    text = (other / "tokenizer.json").read_text("utf-8")
    (other / "tokenizer.json").write_text(
        text.replace('"가"', '"#"').replace('"나"', '"가"').replace('"#"', '"나"'), "utf-8"
    )
    with pytest.raises(UserError, match="other: expected an encoder with the vocabulary of the one in"):
        average_encoders([tiny_encoder_folder, other], [1, 1])
