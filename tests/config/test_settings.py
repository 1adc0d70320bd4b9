"""Settings under dotted names: which of them make another configuration."""

from collections.abc import Callable

import pytest

from src.config import Config
from src.config.schema import config_hash, flatten
from src.utils.errors import UserError


def test_a_sweep_stops_trials_by_its_pruner_only(sweep_config: Callable[..., Config]) -> None:
    with pytest.raises(UserError, match=r"trainer\.early_stopping_patience must be empty for a sweep"):
        sweep_config("trainer.early_stopping_patience=2", "trainer.keep=best")


@pytest.mark.parametrize(
    ("override", "same"),
    [
        ("data.local_folder=/elsewhere", True),
        ("model.cache=/elsewhere", True),
        ("tracking.uri=http://127.0.0.1:5000", True),
        ("trainer.resume=never", True),
        ("trainer.learning_rate=3e-5", False),
        ("model.max_length=64", False),
        ("data.sources=[sample]", False),
    ],
)
def test_locations_do_not_change_the_hash_of_a_configuration(
    override: str, same: bool, compose: Callable[..., Config]
) -> None:
    one, other = compose("+experiment=review_sts"), compose("+experiment=review_sts", override)
    assert (config_hash(one) == config_hash(other)) == same


def test_labels_are_one_value_whatever_is_in_them() -> None:
    assert dict(flatten({"data": {"labels": {"yes+": 1, "a.b": None}, "seed": 1}})) == {
        "data.labels": {"yes+": 1, "a.b": None},
        "data.seed": 1,
    }
