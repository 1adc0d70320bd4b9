"""Digests of training sentences: which sentences of another set they recognise, and files that are not theirs."""

from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from datasets import Dataset

from src.data.examples import to_dataset
from src.data.sentences import FILE, count_seen, load_digests, rows_seen, save_digests, sentence_digests
from src.utils.errors import UserError


def pairs(*texts: tuple[str, str]) -> Dataset:
    first, second = zip(*texts, strict=True)
    return to_dataset(pa.table({"sentence1": first, "sentence2": second, "score": [0.5] * len(texts)}))


TRAIN = pairs(("방이 좋아요", "방이 깨끗해요"), ("역이 멀어요", "방이 좋아요"))


def test_sentences_of_both_columns_are_recognised_once_each() -> None:
    digests = sentence_digests([TRAIN])
    assert len(digests) == 3
    other = pairs(("방이 깨끗해요", "새 문장"), ("방이 깨끗해요", "역이 멀어요"), ("다른 문장", "또 하나"))
    assert count_seen(other, digests) == 2
    assert rows_seen(other, digests).tolist() == [True, True, False]
    assert not rows_seen(other, sentence_digests([pairs(("아무것도", "없어요"))])).any()


def test_digests_survive_the_file_and_take_eight_bytes_each(tmp_path: Path) -> None:
    digests = sentence_digests([TRAIN])
    save_digests(digests, tmp_path / FILE)
    assert np.array_equal(load_digests(tmp_path), digests)
    assert (tmp_path / FILE).stat().st_size == 128 + 8 * 3
    assert load_digests(tmp_path / "elsewhere") is None


@pytest.mark.parametrize("content", [b"", b"text", "cut", "float", "pickle"])
def test_a_damaged_file_is_refused_by_name(content: bytes | str, tmp_path: Path) -> None:
    path = tmp_path / FILE
    if isinstance(content, bytes):
        path.write_bytes(content)
    elif content == "cut":
        save_digests(sentence_digests([TRAIN]), path)
        path.write_bytes(path.read_bytes()[:-3])
    else:
        np.save(path, np.array([0.5]) if content == "float" else np.array([None], dtype=object), allow_pickle=True)
    with pytest.raises(UserError, match=rf"{FILE}: expected the digests of training sentences, found"):
        load_digests(tmp_path)
