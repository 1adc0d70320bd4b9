"""The model card: complete, and about the very model it lies beside."""

import json
import re
from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pytest
import yaml

import src.train
from src.config import Config
from src.data import Origin, PairData
from src.metrics.names import DEV
from src.report.card import Card, complete, describe, template
from src.training.curve import CurveRow

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


@pytest.fixture(scope="module")
def folder(tiny_config_in: TinyConfig, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A training that ended well."""
    config = tiny_config_in(tmp_path_factory.mktemp("card"), "data.license=cc0-1.0")
    src.train.run(config)
    return Path(config.folder)


@pytest.fixture
def card(folder: Path) -> str:
    return (folder / "model" / "README.md").read_text(encoding="utf-8")


def test_every_section_of_the_published_cards_is_there(card: str) -> None:
    lines = card.splitlines()
    assert [heading for heading in PUBLISHED_HEADINGS if heading not in lines] == []


def test_nothing_is_left_to_be_filled_in(card: str) -> None:
    assert "Unnamed Dataset" not in card
    assert "<!--" not in card and "{{" not in card
    assert not re.search(r"^(#+ .*)\n+(?=#)", card.split("## Bias")[1].split("## Training")[0], re.MULTILINE)
    for heading in ("Out-of-Scope Use", "Bias, Risks and Limitations", "Recommendations", "Glossary"):
        text = re.split(r"\n#+ ", card.split(f" {heading}\n")[1])[0]
        assert len(text.split()) > 15, heading


def test_its_metrics_are_those_of_the_saved_model(card: str, folder: Path) -> None:
    metrics = json.loads((folder / "metrics.json").read_text(encoding="utf-8"))
    head = yaml.safe_load(card.split("---")[1])
    (result,) = head["model-index"][0]["results"]
    assert result["dataset"]["name"] == DEV.replace("-", " ")
    said = {each["type"]: each["value"] for each in result["metrics"]}
    assert said == {name: metrics[name] for name in ("spearman_cosine", "pearson_cosine")}
    assert f"| **spearman_cosine** | **{round(metrics['spearman_cosine'], 4)}**" in card


def test_it_names_licence_language_base_and_data(card: str) -> None:
    head = yaml.safe_load(card.split("---")[1])
    assert head["language"] == ["ko"]
    assert head["base_model"] == "tests/tiny"
    assert "[tests/tiny](https://huggingface.co/tests/tiny) at local folder" in card
    assert "#### pairs.csv\n" in card
    assert card.count("* License of the pairs: cc0-1.0\n") == 2


def test_its_log_holds_every_evaluation(card: str, folder: Path) -> None:
    curve = pd.read_csv(folder / "curve.csv")
    rows = [line.split("|") for line in card.split("### Training Logs")[1].split("###")[0].splitlines() if "|" in line]
    assert [cell.strip() for cell in rows[0]][1:4] == ["Epoch", "Step", "Training Loss"]
    assert [int(row[2]) for row in rows[2:]] == curve["step"].tolist()
    assert [float(row[5]) for row in rows[2:]] == pytest.approx(curve["spearman_cosine"].tolist(), abs=1e-4)


def test_data_on_the_hub_are_linked_with_licence_and_what_is_inferred(tiny_encoder_folder: Path) -> None:
    from datasets import Dataset
    from sentence_transformers import SentenceTransformer

    from src.encoder import BaseModel

    encoder = SentenceTransformer(str(tiny_encoder_folder), device="cpu")
    pairs = Dataset.from_dict({"sentence1": ["a", "b", "c"], "sentence2": ["d", "e", "f"], "score": [0.0, 0.5, 1.0]})
    origin = Origin(
        "KLUE-STS", "https://huggingface.co/datasets/klue/klue", "cc-by-sa-4.0", "ko", "Its source is inferred."
    )
    data = PairData(pairs, pairs, pairs, "local", origin, ())
    describe(encoder, "reviews", data, BaseModel("owner/base", "abc123", "mit", None))
    card = encoder.model_card_data
    assert isinstance(card, Card)
    assert card.datasets == ["klue/klue"]
    assert card.train_datasets[0]["note"] == "Its source is inferred."
    assert "Its source is inferred." in card.sections["Bias, Risks and Limitations"]
    row = CurveRow(1.0, 4, 0.1, 0.2, 0.7, 0.6)
    complete(encoder, [row], data, {"spearman_cosine": 0.75, "pearson_cosine": 0.65})
    ((evaluator, metrics),) = card.eval_results_dict.items()
    assert evaluator.name == "sts-test" and metrics["sts-test_spearman_cosine"] == 0.75
    assert [log["Step"] for log in card.training_logs] == [4]


def test_the_template_still_has_the_places_that_are_filled() -> None:
    text = template().read_text(encoding="utf-8")
    assert text.count("{{ sections[") == 8
    assert "dataset['license']" in text and "at {{ base_model_revision }}" in text and "License:** not known" in text
