"""What counts as the same configuration."""

from collections.abc import Callable

import pytest

from src.config import Config
from src.provenance import config_hash


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
def test_where_things_lie_makes_no_other_configuration(
    override: str, same: bool, compose: Callable[..., Config]
) -> None:
    one, other = compose("+experiment=review_sts"), compose("+experiment=review_sts", override)
    assert (config_hash(one) == config_hash(other)) == same
