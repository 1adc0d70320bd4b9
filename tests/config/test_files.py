"""Settings in files are data: read as they are, or refused in one sentence."""

from pathlib import Path

import pytest
from hydra import compose, initialize_config_dir
from hydra.core.config_store import ConfigStore

from src.cli import CONF
from src.config import register_schemas, register_tuned, to_config
from src.config.files import MAX_BYTES, read_settings, read_tuned
from src.utils.errors import UserError

BOMB = "a: &a [x, x]\n" + "".join(
    f"{name}: &{name} [*{former}, *{former}]\n" for former, name in zip("abcdefghij", "bcdefghijk", strict=True)
)
BROKEN = {
    "open bracket": b"trainer: {learning_rate: 1e-5\n  x",
    "empty": b"",
    "a list": b"- 1",
    "a text": b"trainer",
    "a key twice": b"name: a\nname: b",
    "no UTF-8": b"name: \xff",
    "an alias of aliases": BOMB.encode(),
    "an object": b"name: !!python/object/apply:pathlib.Path [x]",
    "a function": b"name: !!python/object/apply:os.system [echo]",
    "bytes": b"name: !!binary aGk=",
    "a list of lists": b"name: [[1]]",
    "deeply nested": b"a: " + b"[" * 20_000,
    "large": b"name: " + b"x" * MAX_BYTES,
}


@pytest.mark.parametrize("kind", BROKEN)
def test_a_broken_file_is_refused_by_name(kind: str, tmp_path: Path) -> None:
    (tmp_path / "config.yaml").write_bytes(BROKEN[kind])
    with pytest.raises(UserError, match=r"config\.yaml: expected") as refused:
        read_settings(tmp_path / "config.yaml")
    assert len(str(refused.value).splitlines()) == 1 and len(str(refused.value)) < 700


def test_a_folder_and_a_missing_file_are_refused(tmp_path: Path) -> None:
    for path in (tmp_path, tmp_path / "none"):
        with pytest.raises(UserError, match="no file"):
            read_settings(path)


def test_nothing_is_resolved_and_numbers_stay_numbers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SECRET", "hunter2")
    path = tmp_path / "config.yaml"
    path.write_text("name: ${oc.env:SECRET}\ntrainer: {learning_rate: 1e-05, seeds: [1, 2], dev: null}\n")
    trainer = {"learning_rate": 1e-5, "seeds": [1, 2], "dev": None}
    assert read_settings(path) == {"name": "${oc.env:SECRET}", "trainer": trainer}


def test_labels_are_settings_with_any_names(tmp_path: Path) -> None:
    path = tmp_path / "config.yaml"
    path.write_text("data: {labels: {예: 1, 아니오: 0, 모름: null}}")
    assert read_settings(path) == {"data": {"labels": {"예": 1, "아니오": 0, "모름": None}}}
    path.write_text("data: {labels: {a: [[1]]}}")
    with pytest.raises(UserError, match=r"for data\.labels, found"):
        read_settings(path)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("model: {name: '${oc.env:SECRET}'}", "interpolation"),
        ("trainer: {learning_rate: '${trainer.epochs}'}", "interpolation"),
        ("name: other", "found name"),
        ("folder: /tmp", "found folder"),
        ("tracking: {uri: 'http://127.0.0.1'}", "found tracking.uri"),
        ("data: {train: /etc/passwd}", "found data.train"),
        ("hydra: {run: {dir: /tmp}}", "found hydra.run.dir"),
        ("defaults: [experiment]", "found defaults"),
        ("trainer: {resume: never}", "found trainer.resume"),
    ],
)
def test_a_sweep_sets_only_plain_values_of_what_it_searches(text: str, words: str, tmp_path: Path) -> None:
    (tmp_path / "best.yaml").write_text(text)
    with pytest.raises(UserError, match=words):
        read_tuned(tmp_path / "best.yaml")


def test_a_broken_best_yaml_concerns_only_those_who_want_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ConfigStore.instance(), "repo", dict(ConfigStore.instance().repo))
    for name, content in (("broken", b"{"), ("my 방 1.10", b"trainer: {epochs: 3}"), ("1e5", b"loss: {name: cosent}")):
        (tmp_path / name / "sweep").mkdir(parents=True)
        (tmp_path / name / "sweep" / "best.yaml").write_bytes(content)
    (tmp_path / "folder" / "sweep" / "best.yaml").mkdir(parents=True)
    register_schemas()
    register_tuned(tmp_path, {"my 방 1.10", "1e5"})
    with initialize_config_dir(str(CONF), version_base="1.3"):
        config = to_config(compose("config", overrides=['+tuned=["my 방 1.10","1e5"]']))
    assert (config.trainer.epochs, config.loss.name) == (3, "cosent")
    for name in ("broken", "folder"):
        with pytest.raises(UserError, match=rf"{name}.sweep.best\.yaml: expected"):
            register_tuned(tmp_path, {name})


@pytest.mark.parametrize(("text", "words"), [("a: &a {x: 1}\nb: *a", "an alias"), ("a: " + "[" * 99, "10 levels")])
def test_what_would_take_the_parser_long_is_not_parsed(text: str, words: str, tmp_path: Path) -> None:
    (tmp_path / "config.yaml").write_text(text)
    with pytest.raises(UserError, match=f"found (more than )?{words}"):
        read_settings(tmp_path / "config.yaml")
