"""Which shape a source has, by its columns."""

import pytest

from src.config import data as settings_of_data
from src.config.data import PairFiles
from src.data.layouts import Layout, recognise
from src.data.shapes import SHAPES
from src.utils.errors import UserError

PAIR = {"sentence1": "sentence1", "sentence2": "sentence2"}
NLI = {"sentence1": "premise", "sentence2": "hypothesis", "label": "gold_label"}


def layout(names: list[str], **settings: object) -> Layout:
    return recognise(names, "file", PairFiles(train="file", **settings))  # type: ignore[arg-type]


KNOWN: dict[str, tuple[str, dict[str, str]]] = {
    "id sentence1 sentence2 score": ("scored", {**PAIR, "score": "score"}),
    "score sentence2 sentence1 label anchor positive": ("scored", {**PAIR, "score": "score"}),
    "sentence1 sentence2 label": ("auto", {**PAIR, "label": "label"}),
    "sentence1 sentence2 gold_label": ("auto", {**PAIR, "label": "gold_label"}),
    "premise hypothesis gold_label genre": ("auto", NLI),
    "anchor positive": ("positives", {"anchor": "anchor", "positive": "positive"}),
    "question answer": ("positives", {"anchor": "question", "positive": "answer"}),
    "query passage": ("positives", {"anchor": "query", "positive": "passage"}),
    "question document": ("positives", {"anchor": "question", "positive": "document"}),
    "anchor query positive": ("positives", {"anchor": "anchor", "positive": "positive"}),
    "query pos neg": ("triplets", {"anchor": "query", "positive": "pos", "negative": "neg"}),
    "query document hard_negative": (
        "triplets",
        {"anchor": "query", "positive": "document", "negative": "hard_negative"},
    ),
    "negative positive anchor": ("triplets", {"anchor": "anchor", "positive": "positive", "negative": "negative"}),
    "anchor positive negative_1": ("triplets", {"anchor": "anchor", "positive": "positive", "negative": "negative_1"}),
    "anchor positive negative_10 negative_2": (
        "triplets",
        {"anchor": "anchor", "positive": "positive", "negative_1": "negative_2", "negative_2": "negative_10"},
    ),
}


@pytest.mark.parametrize("names", KNOWN)
def test_a_shape_is_recognised_by_its_columns(names: str) -> None:
    found = layout(names.split())
    assert (found.shape, list(found.columns.items())) == (KNOWN[names][0], list(KNOWN[names][1].items()))


CONFIGURED: dict[str, tuple[str, dict[str, object], str, dict[str, str]]] = {
    "a label that is a score": (
        "sentence1 sentence2 label",
        {"score": "label"},
        "scored",
        {**PAIR, "score": "label"},
    ),
    "a score that is a label": ("sentence1 sentence2 score", {"label": "score"}, "auto", {**PAIR, "label": "score"}),
    "columns of any name": (
        "q p n_1 n_2 score",
        {"anchor": "q", "positive": "p", "negative": "n"},
        "triplets",
        {"anchor": "q", "positive": "p", "negative_1": "n_1", "negative_2": "n_2"},
    ),
    "a question that is a sentence": (
        "question answer label",
        {"sentence1": "question", "sentence2": "answer"},
        "auto",
        {"sentence1": "question", "sentence2": "answer", "label": "label"},
    ),
    "triplets used as positives": (
        "query pos neg",
        {"shape": "positives"},
        "positives",
        {"anchor": "query", "positive": "pos"},
    ),
    "positives of labelled pairs": ("premise hypothesis gold_label", {"shape": "positives"}, "positives", NLI),
    "labels beside a score": (
        "sentence1 sentence2 score label",
        {"shape": "labelled"},
        "labelled",
        {**PAIR, "label": "label"},
    ),
    "labels with values": ("premise hypothesis gold_label", {"labels": {"yes": 1, "no": 0}}, "labelled", NLI),
}


@pytest.mark.parametrize("case", CONFIGURED)
def test_settings_decide_before_names(case: str) -> None:
    names, settings, shape, columns = CONFIGURED[case]
    found = layout(names.split(), **settings)
    assert (found.shape, found.columns) == (shape, columns)


REFUSED: dict[str, tuple[str, dict[str, object], tuple[str, ...]]] = {
    "nothing known": ("text1 text2", {}, ("['text1', 'text2']", "triplets: anchor, positive, negative", "none")),
    "a half": ("sentence1 sentence2", {}, ("labelled: sentence1, sentence2, label", "data.sentence1=COLUMN")),
    "two shapes": ("premise hypothesis label query pos", {}, ("those of several", "set data.shape")),
    "two queries": ("query question answer", {}, ("['query', 'question'] for data.anchor", "one column for each role")),
    "answers with a label": ("question answer label", {}, ("'label'", "data.sentence1=question", "shape=positives")),
    "another column than configured": ("anchor positive", {"score": "rating"}, ("['rating']", "correct data.score")),
    "another shape than configured": (
        "sentence1 sentence2 score",
        {"shape": "triplets"},
        ("without ['anchor', 'positive', 'negative']", "data.anchor, data.positive, data.negative"),
    ),
    "a column twice": ("anchor positive positive", {}, ("['positive'] more than once",)),
}


@pytest.mark.parametrize("case", REFUSED)
def test_unclear_columns_are_refused_with_what_was_found(case: str) -> None:
    names, settings, parts = REFUSED[case]
    with pytest.raises(UserError) as caught:
        layout(names.split(), **settings)
    message = str(caught.value)
    assert message.startswith("file: expected") and len(message) < 600
    assert [part for part in parts if part not in message] == []


def test_every_shape_can_be_set() -> None:
    assert set(settings_of_data.SHAPES) == {"auto", *SHAPES}
