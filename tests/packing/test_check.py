"""Packing is checked before it is used: an encoder whose embeddings it would change is refused."""

from collections.abc import Callable
from copy import deepcopy
from pathlib import Path

import pytest
import torch
from datasets import Dataset
from sentence_transformers import SentenceTransformer
from transformers import ModernBertConfig, ModernBertModel, PreTrainedModel, T5Config, T5EncoderModel

from src.encoder.inputs import token_ids
from src.packing import check
from src.packing.check import check_packing, is_packable, texts_to_check
from src.utils.errors import UserError

TEXTS = ["방이 깨끗해요", "위치", "호스트가 아주 친절했고 침대도 편했습니다", "역에서 조금 멀어요"]


@pytest.fixture(autouse=True)
def _nothing_has_passed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(check, "_passed", {})


@pytest.fixture
def encoder(tiny_encoder_folder: Path) -> SentenceTransformer:
    return SentenceTransformer(str(tiny_encoder_folder), device="cpu").eval()


def ids_of(encoder: SentenceTransformer, texts: list[str]) -> list[list[int]]:
    return token_ids(encoder.tokenizer, texts)


def tiny_t5(words: int) -> T5EncoderModel:
    sizes = {"d_model": 32, "d_kv": 16, "num_layers": 2, "num_heads": 2, "d_ff": 64}
    return T5EncoderModel(T5Config(vocab_size=words, **sizes))


def tiny_modernbert(words: int, window: int = 4) -> ModernBertModel:
    sizes = {"hidden_size": 32, "num_hidden_layers": 3, "num_attention_heads": 2, "intermediate_size": 64}
    special = dict.fromkeys(("cls_token_id", "bos_token_id"), 0) | dict.fromkeys(("sep_token_id", "eos_token_id"), 2)
    config = ModernBertConfig(vocab_size=words, local_attention=window, pad_token_id=1, **sizes, **special)
    return ModernBertModel(config)


def test_texts_longer_than_the_shortest_bin_are_packed_too(encoder: SentenceTransformer) -> None:
    check_packing(encoder, ids_of(encoder, ["방" * 200, "침대", "집", "이불" * 70]), 0)


@pytest.mark.parametrize("transformer", [tiny_t5, tiny_modernbert])
def test_an_encoder_that_packing_cannot_compute_is_refused(
    encoder: SentenceTransformer, transformer: Callable[[int], PreTrainedModel]
) -> None:
    torch.manual_seed(0)
    encoder[0].model = transformer(len(encoder.tokenizer)).eval()
    ids = ids_of(encoder, TEXTS)
    for _ in range(2):  # a failure is not forgotten
        assert not is_packable(encoder, ids, 0)
        with pytest.raises(UserError, match=r"relative distance of .*: set trainer=stock"):
            check_packing(encoder, ids, 0)


def test_a_window_is_found_as_soon_as_a_text_is_longer(encoder: SentenceTransformer) -> None:
    torch.manual_seed(0)
    encoder[0].model = tiny_modernbert(len(encoder.tokenizer), window=8).eval()
    assert is_packable(encoder, ids_of(encoder, ["위치", "방"]), 0)
    assert not is_packable(encoder, ids_of(encoder, ["위치", "방", *TEXTS]), 0)


@pytest.mark.parametrize(
    ("texts", "expected"),
    [
        ([[0], [1, 1], [2], [3], [4, 4, 4], [5]], [[0], [1, 1], [2], [4, 4, 4]]),
        ([[0, 0]], [[0, 0], [0, 0]]),
    ],
)
def test_of_a_data_set_the_first_texts_and_the_longest_are_checked(
    texts: list[list[int]], expected: list[list[int]]
) -> None:
    examples = Dataset.from_dict({"sentence1": texts, "sentence2": [[9] * 9] * len(texts)})
    assert texts_to_check(examples, "sentence1") == expected
    assert texts_to_check(examples.select(range(len(texts))), "sentence1") == expected


def test_copies_of_an_encoder_are_checked_once_and_again_for_a_longer_text(encoder: SentenceTransformer) -> None:
    calls: list[None] = []
    encoder[0].register_forward_pre_hook(lambda _, features: calls.append(None))
    longer = [*TEXTS, "걸어서 갈 수 있는 거리에 지하철역과 버스 정류장이 있어서 다니기에 아주 좋았습니다"]
    counts = []
    for texts, unpooled in [(TEXTS, 0), (TEXTS[:2], 0), (longer, 0), (TEXTS, 0), (TEXTS, 1)]:
        copy = deepcopy(encoder)
        check_packing(copy, ids_of(copy, texts), unpooled)
        counts.append(len(calls))
    assert counts == [2, 2, 4, 4, 6]


def test_the_check_leaves_mode_and_random_numbers_as_they_are(encoder: SentenceTransformer) -> None:
    encoder.train()
    state = torch.random.get_rng_state()
    check_packing(encoder, ids_of(encoder, TEXTS), 0)
    assert encoder.training
    assert torch.equal(torch.random.get_rng_state(), state)
