"""Accuracy on minimal pairs: its computation, and that of the trained model."""

from pathlib import Path
from types import MappingProxyType

import numpy as np
import pytest
import torch

from src.cli import CONF, parser_command
from src.prediction.encoder import load_model
from src.prediction.learnt_rule import accuracies, minimal_pairs, parser, run, usage_example

TRAINED = CONF.parent / "experiments" / "project_match"


class Oracle:
    """Encoder with the better posting closer for stack and region, and the worse one for years."""

    prompts = MappingProxyType({"company": "회사: "})
    default_prompt_name = "company"

    def __init__(self) -> None:
        pairs = minimal_pairs(5, seed=42)
        self.angles = {pair.profile: 0.0 for pair in pairs}
        for pair in pairs:
            better, worse = (1.0, 0.5) if pair.attribute == "years" else (0.5, 1.0)
            self.angles |= {pair.postings[0]: better, pair.postings[1]: worse}

    def encode(self, sentences: list[str], prompt: str, convert_to_tensor: bool) -> torch.Tensor:
        assert prompt == "회사: "
        angles = np.array([self.angles[sentence] for sentence in sentences])
        return torch.from_numpy(np.stack([np.cos(angles), np.sin(angles)], axis=1))


def test_the_accuracy_is_computed_for_each_attribute() -> None:
    found = accuracies(Oracle(), minimal_pairs(5, seed=42))
    assert found == {"stack": 1.0, "region": 1.0, "years": 0.0}


def test_accuracies_and_example_are_printed(tiny_encoder_folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    parser_command(run, parser())([str(tiny_encoder_folder)])
    shown = capsys.readouterr().out
    assert "the published model 0.989 and 0.049" in " ".join(shown.split())
    assert all(f"postings differ in {name}" in shown for name in ("stack", "region", "years"))


@pytest.mark.skipif(not (TRAINED / "model").is_dir(), reason="needs python -m src.train +experiment=project_match")
def test_the_trained_model_has_learnt_the_rule_and_scores_the_cards_example() -> None:
    encoder = load_model(str(TRAINED), "")
    assert min(accuracies(encoder, minimal_pairs(100, seed=42)).values()) > 0.75
    matching, other = usage_example(encoder)
    assert matching >= 0.85
    assert other <= 0.15
