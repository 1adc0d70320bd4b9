import errno
import os
from pathlib import Path

import pytest
from datasets import Dataset

from src.config.data import PairFiles
from src.data import digest, hub_sets, load_examples
from src.utils.errors import UserError


def write(path: Path, count: int, prefix: str = "", scale: float = 1.0) -> str:
    rows = [f"{prefix}첫째 {i},{prefix}둘째 {i},{scale * (i % 11) / 10}" for i in range(count)]
    path.write_text("\n".join(["a,b,label", *rows]), "utf-8")
    return str(path)


def config(train: str, **options: object) -> PairFiles:
    return PairFiles(train=train, sentence1="a", sentence2="b", score="label", **options)


def test_train_and_dev_files_are_read_with_the_users_columns_and_range(tmp_path: Path) -> None:
    train, dev = write(tmp_path / "train.csv", 30, scale=5), write(tmp_path / "dev.csv", 20, "dev ", scale=5)
    data = load_examples(config(train, dev=dev, max_score=5.0, language="en", license="mit"))
    assert (len(data.train), len(data.dev), data.source, data.warnings) == (30, 20, "files", ())
    assert data.train[3] == {"sentence1": "첫째 3", "sentence2": "둘째 3", "score": pytest.approx(0.3)}
    assert (data.provenance.name, data.provenance.language, data.provenance.license) == ("train.csv", "en", "mit")


def test_a_seeded_part_of_train_becomes_dev_without_a_dev_file(tmp_path: Path) -> None:
    train = write(tmp_path / "train.csv", 200)
    data, again = (load_examples(config(train, dev_fraction=0.2)) for _ in range(2))
    assert (len(data.train), len(data.dev)) == (160, 40)
    assert digest(data.dev) == digest(again.dev)
    assert digest(data.dev) != digest(load_examples(config(train, dev_fraction=0.2, seed=1)).dev)
    assert not {*data.train["sentence1"]} & {*data.dev["sentence1"]}


def test_warnings_about_a_split_file_appear_once(tmp_path: Path) -> None:
    path = tmp_path / "train.csv"
    write(path, 100)
    path.write_text(path.read_text("utf-8") + "\n둘째 3,첫째 3,0.3", "utf-8")
    (warning,) = load_examples(config(str(path))).warnings
    assert "data rows 4 and 101" in warning


@pytest.mark.parametrize(("count", "message"), [(1, "found 1"), (9, "3 pairs for dev")])
def test_too_few_pairs_to_split_are_refused(tmp_path: Path, count: int, message: str) -> None:
    with pytest.raises(UserError, match=message):
        load_examples(config(write(tmp_path / "train.csv", count)))


def test_labels_of_0_to_5_given_as_0_to_1_are_refused_with_the_setting(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"data row 4, .* set data\.min_score=0 data\.max_score=5"):
        load_examples(config(write(tmp_path / "train.csv", 30, scale=5)))


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> list[tuple[object, ...]]:
    calls: list[tuple[object, ...]] = []
    splits = {
        split: Dataset.from_dict(
            {
                "a": [f"{split} a {i}" for i in range(50)],
                "b": [f"b {split} {i}" for i in range(50)],
                "label": [i / 49 for i in range(50)],
            }
        )
        for split in ("train", "validation")
    }

    def load(name: str, config: str | None, *, split: str, revision: str | None) -> Dataset:
        calls.append((name, config, split, revision))
        if split not in splits:
            raise ValueError(f'Unknown split "{split}". Should be one of {list(splits)}.')
        return splits[split]

    monkeypatch.setattr("datasets.config.HF_DATASETS_CACHE", tmp_path / "hf")
    monkeypatch.setattr(hub_sets, "hub_reachable", lambda timeout: True)
    monkeypatch.setattr("datasets.load_dataset", load)
    monkeypatch.chdir(tmp_path)
    return calls


def test_a_hub_data_set_is_read_with_its_dev_split(hub: list[tuple[object, ...]]) -> None:
    data = load_examples(config("owner/pairs", dev="validation", hub_config="ko", hub_revision="v1"))
    assert hub == [("owner/pairs", "ko", split, "v1") for split in ("train", "validation")]
    assert (len(data.train), len(data.dev), data.source) == (50, 50, "hub")
    assert data.provenance.url == "https://huggingface.co/datasets/owner/pairs"


def test_a_hub_data_set_without_dev_is_split(hub: list[tuple[object, ...]]) -> None:
    data = load_examples(config("owner/pairs"))
    assert (len(data.train), len(data.dev)) == (45, 5)


def test_a_missing_hub_split_or_column_is_named(hub: list[tuple[object, ...]]) -> None:
    with pytest.raises(UserError, match=r"split 'dev' .*'validation'"):
        load_examples(config("owner/pairs", dev="dev"))
    with pytest.raises(UserError, match=r"owner/pairs \(train\): expected the columns"):
        load_examples(PairFiles(train="owner/pairs"))


def test_an_unreachable_name_is_refused_as_file_and_as_hub_data_set(hub, monkeypatch) -> None:
    monkeypatch.setattr(hub_sets, "hub_reachable", lambda timeout: False)
    with pytest.raises(UserError, match=r"'owner/pairs', which is no file here, and the Hugging Face Hub cannot"):
        load_examples(config("owner/pairs"))


@pytest.mark.parametrize("train", ["data/train.csv", "train", "./pairs", "/none/train", "a/b/c", "../train.txt"])
def test_a_path_is_not_requested_from_the_hub(hub: list[tuple[object, ...]], train: str) -> None:
    with pytest.raises(UserError, match="expected a file"):
        load_examples(config(train))
    assert hub == []


@pytest.mark.parametrize("suffix", [".csv.gz", ".tsv", ".JSON.gz", ".jsonl", ".parquet"])
def test_a_path_with_the_suffix_of_a_file_is_no_hub_name(suffix: str) -> None:
    with pytest.raises(UserError, match="expected a file, found nothing"):
        load_examples(config(f"owner/name{suffix}"))


@pytest.mark.parametrize("name", ["100% #1?.csv", "내 문장 'a' \"b\".csv", "50%25.csv", "a=b,c.csv"])
def test_files_of_any_name_and_linked_files_are_read(name: str, tmp_path: Path) -> None:
    train = write(tmp_path / name, 30)
    (tmp_path / "link.csv").symlink_to(tmp_path / name)
    assert len(load_examples(config(train, dev=str(tmp_path / "link.csv"))).dev) == 30


def test_what_is_no_readable_file_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    os.mkfifo(tmp_path / "pipe.csv")
    (tmp_path / "broken.csv").symlink_to(tmp_path / "none.csv")
    refused = {
        "pipe.csv": "a directory or device",
        "broken.csv": "found nothing",
        "broken.csv/a.csv": "found nothing",
        "x" * 300 + ".csv": "too long",
    }
    for name, words in refused.items():
        with pytest.raises(UserError, match=words):
            load_examples(config(str(tmp_path / name)))
    monkeypatch.setattr("pathlib.Path.stat", deny)
    with pytest.raises(UserError, match="Permission denied"):
        load_examples(config(str(tmp_path / "secret.csv")))


def deny(_: Path) -> None:
    raise PermissionError(errno.EACCES, "Permission denied")
