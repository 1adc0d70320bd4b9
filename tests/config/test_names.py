"""Names of experiments: valid for a folder on any system, and refused before anything is made."""

from collections.abc import Callable

import pytest

from src.config import Config
from src.utils.errors import UserError


@pytest.mark.parametrize("name", ["1.10", "2024_01", "방 이름-2", "_x", "console", "com10", "x" * 255, "가" * 85])
def test_a_name_that_a_folder_can_have_is_valid(name: str, compose: Callable[..., Config]) -> None:
    assert compose(f'name="{name}"').name == name


@pytest.mark.parametrize(
    "name",
    [
        *("..", ".", "a/b", "/a", "../a", "a\\\\b", "a.", "a ", " a", "-a", "a:b", "a\nb", "a\x1b", "a\u202e"),
        *("con", "NUL", "com1.txt", "lpt9 .x", "x" * 256, "가" * 86),
    ],
)
def test_another_one_is_refused_in_a_short_sentence(name: str, compose: Callable[..., Config]) -> None:
    with pytest.raises(UserError, match=r"^name must be") as refused:
        compose(f'name="{name}"')
    assert len(str(refused.value)) < 300


def test_a_configuration_is_composed_without_a_command_as_in_a_notebook() -> None:
    from hydra import compose, initialize_config_dir

    from src.cli import CONF
    from src.config import register_schemas, to_config

    register_schemas()
    with initialize_config_dir(str(CONF), version_base="1.3"):
        assert to_config(compose("config", overrides=["name=notebook"])).folder == "experiments/notebook"
