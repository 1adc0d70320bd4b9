"""Rows hold every sentence once, and little else."""

from hypothesis import example, given
from hypothesis import strategies as st

from src.training.rows import pack


@given(lengths=st.lists(st.integers(1, 300), min_size=1, max_size=64))
def test_every_sentence_lies_in_one_row_and_no_row_is_too_long(lengths: list[int]) -> None:
    rows, width = pack(lengths)
    assert sorted(index for row in rows for index in row) == list(range(len(lengths)))
    assert max(sum(lengths[index] for index in row) for row in rows) <= width
    assert width % 16 == 0


@example(lengths=[17] * 48)
@given(lengths=st.lists(st.integers(3, 30), min_size=32, max_size=64))
def test_short_sentences_leave_few_gaps(lengths: list[int]) -> None:
    rows, width = pack(lengths)
    assert len(rows) * width <= 1.3 * sum(lengths) + width


def test_rows_are_filled_exactly_where_the_lengths_allow_it() -> None:
    rows, width = pack([40, 30, 30, 24, 20, 20, 14, 14])
    assert (len(rows), width) == (3, 64)


def test_sentences_that_fill_most_of_a_short_row_get_a_longer_one() -> None:
    rows, width = pack([45] * 20)
    assert (len(rows), width) == (10, 96)


def test_a_long_sentence_makes_the_rows_as_long_as_it_is() -> None:
    rows, width = pack([10, 200, 10])
    assert (rows, width) == ([[1], [0, 2]], 208)
