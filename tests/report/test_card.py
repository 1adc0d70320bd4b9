"""The model card: complete, and about the model it lies beside."""

import re
from collections.abc import Callable
from dataclasses import fields
from pathlib import Path

import pandas as pd
import pytest
import yaml
from datasets import Dataset
from jinja2 import Environment, meta
from sentence_transformers import SentenceTransformer, SentenceTransformerModelCardData
from sentence_transformers.base.model_card import generate_model_card

import src.train
from src.config import Config
from src.data import ExampleSet, Provenance
from src.encoder import BaseModel
from src.evaluation.evaluate import Evaluation
from src.evaluation.metrics import PEARSON, SPEARMAN, leading_metric, metrics_of
from src.evaluation.result import Result
from src.report.card import TEMPLATE, Card, finalize_model_card, init_model_card
from src.training import CurveRow, Training

TinyConfig = Callable[..., Config]
PUBLISHED_HEADINGS = [
    "## Model Details",
    "### Model Description",
    "### Model Sources",
    "### Full Model Architecture",
    "## Usage",
    "### Direct Usage (Sentence Transformers)",
    "### Direct Usage (Transformers)",
    "### Downstream Usage (Sentence Transformers)",
    "### Out-of-Scope Use",
    "## Evaluation",
    "### Metrics",
    "#### Semantic Similarity",
    "## Bias, Risks and Limitations",
    "### Recommendations",
    "## Training Details",
    "### Training Dataset",
    "### Evaluation Dataset",
    "### Training Hyperparameters",
    "#### Non-Default Hyperparameters",
    "#### All Hyperparameters",
    "### Training Logs",
    "### Framework Versions",
    "## Citation",
    "### BibTeX",
    "#### Sentence Transformers",
    "## Glossary",
    "## Model Card Authors",
    "## Model Card Contact",
]
"""Every heading of the published review_sts and project_match cards, but for the names of their data sets."""


CHOSEN = "Two epochs were chosen on a validation part of train, not on dev."


@pytest.fixture(scope="module")
def folder(tiny_config_in: TinyConfig, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a finished training."""
    config = tiny_config_in(tmp_path_factory.mktemp("card"), "data.license=cc0-1.0", f"selection='{CHOSEN}'")
    src.train.run(config)
    return Path(config.folder)


@pytest.fixture
def card(folder: Path) -> str:
    return (folder / "model" / "README.md").read_text(encoding="utf-8")


def test_every_section_of_the_published_cards_is_there(card: str) -> None:
    lines = card.splitlines()
    assert [heading for heading in PUBLISHED_HEADINGS if heading not in lines] == []


def test_no_section_is_empty(card: str) -> None:
    assert "Unnamed Dataset" not in card
    assert "<!--" not in card and "{{" not in card
    assert not re.search(r"^(#+ .*)\n+(?=#)", card.split("## Bias")[1].split("## Training")[0], re.MULTILINE)
    for heading in ("Out-of-Scope Use", "Bias, Risks and Limitations", "Recommendations", "Glossary"):
        text = re.split(r"\n#+ ", card.split(f" {heading}\n")[1])[0]
        assert len(text.split()) > 15, heading


def test_its_metrics_are_those_of_the_saved_model(card: str, folder: Path) -> None:
    scores = Result.load(folder).scores
    head = yaml.safe_load(card.split("---")[1])
    (index,) = head["model-index"][0]["results"]
    assert index["dataset"]["name"] == "sts dev"
    assert {each["type"]: each["value"] for each in index["metrics"]} == {
        metric.name: scores[metric.name].value for metric in metrics_of("scored")
    }
    assert f"| **{SPEARMAN}** | **{round(scores[SPEARMAN].value, 4)}**" in card


def test_it_names_licence_language_base_and_data(card: str) -> None:
    head = yaml.safe_load(card.split("---")[1])
    assert head["language"] == ["ko"]
    assert head["base_model"] == "tests/tiny"
    assert "[tests/tiny](https://huggingface.co/tests/tiny) at local folder" in card
    assert "- **License:** not known\n" in card
    assert "#### pairs.csv\n" in card
    assert card.count("* License of the pairs: cc0-1.0\n") == 2


def test_its_log_has_every_evaluation(card: str, folder: Path) -> None:
    curve = pd.read_csv(folder / "curve.csv")
    assert curve["step"].tolist()[0] == 0
    rows = [line.split("|") for line in card.split("### Training Logs")[1].split("###")[0].splitlines() if "|" in line]
    assert [cell.strip() for cell in rows[0]][1:4] == ["Epoch", "Step", "Training Loss"]
    assert [int(row[2]) for row in rows[2:]] == curve["step"].tolist()
    assert [row[3].strip() == "-" for row in rows[2:]] == curve["training_loss"].isna().tolist()
    assert [float(row[5]) for row in rows[2:]] == pytest.approx(curve[SPEARMAN].tolist(), abs=1e-4)


@pytest.fixture
def encoder(tiny_encoder_folder: Path) -> SentenceTransformer:
    """An encoder whose card is about data on the Hub, and is finalized."""
    encoder = SentenceTransformer(str(tiny_encoder_folder), device="cpu")
    pairs = Dataset.from_dict({"sentence1": ["a", "b", "c"], "sentence2": ["d", "e", "f"], "score": [0.0, 0.5, 1.0]})
    url = "https://huggingface.co/datasets/klue/klue"
    provenance = Provenance("KLUE-STS", url, "cc-by-sa-4.0", "ko", "Its source is inferred.")
    data = ExampleSet(pairs, pairs, pairs, "local", provenance, ())
    init_model_card(encoder, "reviews", data, BaseModel("owner/base", "abc123", "mit"))
    row = CurveRow(1.0, 4, 0.1, 0.2, {SPEARMAN: 0.7, PEARSON: 0.6})
    costs = {"started": 0.0, "train_seconds": 120.0, "evaluation_seconds": 30.0, "pairs_per_second": 1.0}
    before = Evaluation("scored", row.metrics, 0.2, pd.DataFrame())
    training = Training([row], before, steps=4, warmup_steps=0, precision="fp32", threads=1, **costs)
    finalize_model_card(encoder, training, data, {SPEARMAN: 0.75, PEARSON: 0.65})
    for dataset in (*encoder.model_card_data.train_datasets, *encoder.model_card_data.eval_datasets):
        dataset |= {"columns": ["sentence1", "sentence2", "score"], "loss": {"fullname": "Loss"}}  # set by the trainer
    return encoder


SPLITS = {
    "scored": {"sentence1": ["a", "b"], "sentence2": ["d", "e"], "score": [0.0, 0.5]},
    "labelled": {"sentence1": ["a", "b"], "sentence2": ["d", "e"], "label": [0, 1]},
    "positives": {"anchor": ["a", "b"], "positive": ["d", "e"]},
    "triplets": {"anchor": ["a", "b"], "positive": ["d", "e"], "negative": ["g", "h"]},
}
"""Two examples of each shape."""


def examples_of(shape: str, name: str = "train", others: tuple[ExampleSet, ...] = ()) -> ExampleSet:
    split = Dataset.from_dict(SPLITS[shape])
    return ExampleSet(split, split, None, "files", Provenance(f"{shape}.csv", None, None, "ko", None), (), name, others)


def card_of(encoder: SentenceTransformer, examples: ExampleSet, metrics: dict[str, float]) -> str:
    """Return the card of a training on these examples with these metrics."""
    init_model_card(encoder, "mine", examples, BaseModel("owner/base", None, None))
    row = CurveRow(1.0, 4, 0.1, 0.2, metrics)
    costs = {"started": 0.0, "train_seconds": 120.0, "evaluation_seconds": 30.0, "pairs_per_second": 1.0}
    before = Evaluation(examples.shape.name, metrics, 0.2, pd.DataFrame())
    training = Training([row], before, steps=4, warmup_steps=0, precision="fp32", threads=1, **costs)
    finalize_model_card(encoder, training, examples, metrics)
    for dataset in (*encoder.model_card_data.train_datasets, *encoder.model_card_data.eval_datasets):
        dataset |= {"columns": ["a"], "loss": {"fullname": "Loss"}}  # set by the trainer
    return str(generate_model_card(encoder))


@pytest.mark.parametrize(
    ("shape", "kinds", "said"),
    [
        ("scored", {"sts-dev": "Semantic Similarity"}, "2 scored sentence pairs (scored.csv)"),
        ("labelled", {"dev": "Binary Classification"}, "2 labelled sentence pairs (labelled.csv)"),
        ("positives", {"dev": "Information Retrieval"}, "2 pairs of a text and its right answer (positives.csv)"),
        ("triplets", {"dev": "Information Retrieval"}, "2 triplets of a text, its right answer and a wrong one"),
    ],
)
def test_it_speaks_of_the_examples_and_metrics_of_its_shape(
    shape: str, kinds: dict[str, str], said: str, tiny_encoder_folder: Path
) -> None:
    encoder = SentenceTransformer(str(tiny_encoder_folder), device="cpu")
    metrics = {metric.name: 0.75 for metric in metrics_of(shape, (16,))}
    text = card_of(encoder, examples_of(shape), metrics)
    ((name, kind),) = kinds.items()
    assert said in text and f"#### {kind}\n\nOn `{name}`" in text
    assert ("#### Triplet\n" in text) == (shape == "triplets")
    rows = {line.split("|")[1].strip(" *") for line in text.splitlines() if line.startswith("|")}
    assert {*metrics} <= rows and f"{name}_{leading_metric(shape).name}" in text.split("### Training Logs")[1]
    glossary = text.split("## Glossary")[1].split("##")[0]
    assert re.findall(r"\*\*(.*):\*\*", glossary)[1:] == [
        *(metric.label for metric in metrics_of(shape)), *(["STS"] if shape == "scored" else [])
    ]  # fmt: skip
    unit = "triplets" if shape == "triplets" else "pairs"
    assert f"data=pairs data.train={unit}.csv" in text and f"Training {unit} were in Korean only" in text
    assert ("encode_query" in text) == (shape in ("positives", "triplets"))


def test_of_a_mixture_all_sets_and_their_metrics_are_listed(tiny_encoder_folder: Path) -> None:
    encoder = SentenceTransformer(str(tiny_encoder_folder), device="cpu")
    examples = examples_of("scored", "sts", (examples_of("triplets", "nli"),))
    metrics = {SPEARMAN: 0.7, PEARSON: 0.6} | {f"nli/{metric.name}": 0.5 for metric in metrics_of("triplets")}
    text = card_of(encoder, examples, metrics)
    assert "# mine: owner/base fine-tuned on scored.csv and triplets.csv\n" in text
    assert "on 2 scored sentence pairs (scored.csv) and 2 triplets of a text, its right answer and a wrong one" in text
    assert text.count("#### triplets.csv\n") == 2 and text.count("* License of the triplets: not known\n") == 2
    assert "On `nli-dev`, computed with `TripletEvaluator`" in text and "**nDCG@10:**" in text
    assert "| sts-dev_spearman_cosine | nli/cosine_ndcg_at_10 |" in text


def test_prompts_of_the_model_are_named(tiny_encoder_folder: Path) -> None:
    prompts = {"query": "query: ", "passage": "<b>", "none": ""}
    encoder = SentenceTransformer(str(tiny_encoder_folder), device="cpu", prompts=prompts)
    text = card_of(encoder, examples_of("scored"), {SPEARMAN: 0.7, PEARSON: 0.6})
    assert (
        'before a text: query: "query: ", passage: "\\<b\\>".\n' in text
        and "none" not in text.split("## Usage")[1][:800]
    )
    assert "encode_query(queries)" in text and "of texts with their prompts before them:" in text
    encoder[-1].include_prompt = False
    assert "from transformers import AutoModel" not in card_of(encoder, examples_of("scored"), {SPEARMAN: 0.7})


def test_its_times_are_those_of_the_training_and_its_evaluations(encoder: SentenceTransformer) -> None:
    assert "2.0 minutes of training, 30.0 seconds of evaluation." in generate_model_card(encoder)


def test_data_on_the_hub_are_linked_with_licence_and_what_is_inferred(encoder: SentenceTransformer) -> None:
    card = encoder.model_card_data
    assert isinstance(card, Card)
    assert card.datasets == ["klue/klue"]
    ((evaluator, metrics),) = card.eval_results_dict.items()
    assert evaluator.name == "sts-test" and metrics[f"sts-test_{SPEARMAN}"] == 0.75
    assert [log["Step"] for log in card.training_logs] == [4]
    text = generate_model_card(encoder)
    assert text.count("* Dataset: [KLUE-STS](https://huggingface.co/datasets/klue/klue)\n") == 2
    assert text.count("* License of the pairs: cc-by-sa-4.0\n* Source: Its source is inferred.\n") == 2
    assert "- About the pairs: Its source is inferred.\n" in text.split("## Bias")[1].split("### Rec")[0]
    assert "[owner/base](https://huggingface.co/owner/base) at abc123\n- **Input:**" in text
    assert "- **License:** mit\n" in text


def test_the_transformers_example_is_given_only_where_mean_pooling_is_all(encoder: SentenceTransformer) -> None:
    assert "from transformers import AutoModel" in generate_model_card(encoder)
    encoder.model_card_data.mean_pooling = False
    text = generate_model_card(encoder)
    assert "from transformers import AutoModel" not in text and "more than mean pooling" in text


def test_the_template_uses_no_value_that_the_library_does_not_give(encoder: SentenceTransformer) -> None:
    """A new release of sentence-transformers may rename values: model_card_template.md must follow."""

    def names(template: Path) -> set[str]:
        return meta.find_undeclared_variables(Environment().parse(template.read_text(encoding="utf-8")))

    own = {field.name for field in fields(Card)} - {field.name for field in fields(SentenceTransformerModelCardData)}
    assert names(TEMPLATE) - own <= names(SentenceTransformerModelCardData.template_path)
    filled_by_training = {"explain_bold_in_eval"}
    assert names(TEMPLATE) - filled_by_training <= {"card_data", *encoder.model_card_data.to_dict()}


def test_the_card_says_how_the_settings_were_chosen(card: str) -> None:
    assert f"### Training Hyperparameters\n\n{CHOSEN}\n\n#### Non-Default Hyperparameters\n" in card


def test_no_pair_of_the_training_data_is_quoted(card: str, folder: Path) -> None:
    pairs = pd.read_csv(folder.parent / "pairs.csv")
    assert len(pairs) == 40
    assert [text for text in (*pairs["sentence1"], *pairs["sentence2"]) if text in card] == []


def test_names_and_texts_from_outside_are_shown_and_not_interpreted(tiny_encoder_folder: Path) -> None:
    encoder = SentenceTransformer(str(tiny_encoder_folder), device="cpu")
    pairs = Dataset.from_dict({"sentence1": ["a", "b", "c"], "sentence2": ["d", "e", "f"], "score": [0.0, 0.5, 1.0]})
    evil = "x: [y](javascript:1)\n---\n# z <script>|`\x1b"
    data = ExampleSet(pairs, pairs, pairs, "files", Provenance(evil, None, evil, evil, evil), ())
    init_model_card(encoder, "review_sts", data, BaseModel(evil, evil, evil))
    for dataset in (*encoder.model_card_data.train_datasets, *encoder.model_card_data.eval_datasets):
        dataset |= {"columns": ["sentence1", "sentence2", "score"], "loss": {"fullname": "Loss"}}
    text = generate_model_card(encoder)
    _, head, body = re.split(r"^---$", text, maxsplit=2, flags=re.MULTILINE)
    assert yaml.safe_load(head)["base_model"] == evil
    assert yaml.safe_load(head)["license"] == evil
    assert r"x: \[y\](javascript:1) --- # z \<script\>\|\`\\x1b" in body
    assert "# review_sts: x: " in body
    assert "<script>" not in body and "\x1b" not in text and not re.search(r"(?m)^# z|^---$|(?<!\\)\[y", body)
