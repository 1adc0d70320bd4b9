import json
import os
from pathlib import Path

import pytest
from datasets import ClassLabel, Dataset, Features, Value, load_dataset
from datasets.arrow_writer import ArrowWriter
from datasets.exceptions import DatasetNotFoundError

from src.config.data import KlueSts
from src.data import hub_sets, klue_sts, load_examples
from src.utils.errors import UserError

HUB_FEATURES = Features(
    {
        "guid": Value("string"),
        "source": Value("string"),
        "sentence1": Value("string"),
        "sentence2": Value("string"),
        "labels": {
            "label": Value("float64"),
            "real-label": Value("float64"),
            "binary-label": ClassLabel(names=["negative", "positive"]),
        },
    }
)
SOURCES = ["airbnb-rtt", "policy-rtt", "airbnb-sampled", "paraKQC-para", "airbnbx-rtt", "airbnb-rtt"]
LABELS = [4.857142857142857, 3.0, 1.4285714285714286, 2.0, 2.0, 0.0]


def hub_split(split: str) -> Dataset:
    def record(i: int) -> dict[str, object]:
        labels = {"label": round(LABELS[i], 1), "real-label": LABELS[i], "binary-label": int(LABELS[i] >= 3)}
        sentences = {"sentence1": f"{split} 첫째 {i}", "sentence2": f"{split} 둘째 {i}"}
        return {"guid": f"klue-sts-v1_{split}_{i:05d}", "source": SOURCES[i], **sentences, "labels": labels}

    return Dataset.from_list([record(i) for i in range(len(SOURCES))], features=HUB_FEATURES)


def klue_folder(folder: Path, sources: list[str] | None = None) -> Path:
    folder.mkdir(exist_ok=True)
    for split in ("train", "dev"):
        rows = [f"g{i},{source},{split} a{i},{split} b{i},{LABELS[i]}" for i, source in enumerate(sources or SOURCES)]
        (folder / f"{split}.csv").write_text("\n".join(["guid,source,sentence1,sentence2,label", *rows]), "utf-8")
    return folder


@pytest.fixture(autouse=True)
def no_hub(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(hub_sets, "hub_reachable", lambda timeout: False)
    monkeypatch.setattr("datasets.config.HF_DATASETS_CACHE", tmp_path / "hf")


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch) -> list[tuple[object, ...]]:
    calls: list[tuple[object, ...]] = []

    def load(name: str, config: str, *, split: str, revision: str) -> Dataset:
        calls.append((name, config, split, revision))
        return hub_split(split)

    monkeypatch.setattr(hub_sets, "hub_reachable", lambda timeout: True)
    monkeypatch.setattr("datasets.load_dataset", load)
    return calls


def test_the_airbnb_part_of_klue_sts_has_its_published_size() -> None:
    folder = os.environ.get("KLUE_STS_DIR")
    if not folder:
        pytest.skip("needs KLUE_STS_DIR, a folder with KLUE-STS as CSV")
    data = load_examples(KlueSts(local_folder=folder, sources=["local"]))
    assert (len(data.train), len(data.dev), data.source) == (5371, 255, "local")
    assert data.train[0]["score"] == pytest.approx(3.714285714285714 / 5, abs=1e-15)
    assert data.dev[0]["score"] == pytest.approx(4.857142857142857 / 5, abs=1e-15)
    assert {"ko", "cc-by-sa-4.0"} <= {data.provenance.language, data.provenance.license}
    assert "inferred by a classifier" in str(data.provenance.note)
    assert [text for text in data.warnings if text.startswith("1 text(s) occur in both train")]
    assert len(data.warnings) == 2


def test_a_local_folder_precedes_the_hub(tmp_path: Path, hub: list[tuple[object, ...]]) -> None:
    data = load_examples(KlueSts(local_folder=str(klue_folder(tmp_path / "klue"))))
    assert (data.source, hub) == ("local", [])
    assert data.train["sentence1"][:] == ["train a0", "train a2", "train a5"]
    assert data.train["score"][:] == pytest.approx([LABELS[0] / 5, LABELS[2] / 5, 0])
    assert "inferred" not in str(data.provenance.note)


def test_the_published_json_files_are_read_with_their_true_sources(tmp_path: Path) -> None:
    for split in ("train", "dev"):
        rows = [{**row, "annotations": {"agreement": "0:6"}} for row in hub_split(split).to_list()]
        (tmp_path / f"klue-sts-v1.1_{split}.json").write_text(json.dumps(rows, indent=4), "utf-8")
    data = load_examples(KlueSts(local_folder=str(tmp_path)))
    assert data.source == "local"
    assert data.train["sentence1"][:] == ["train 첫째 0", "train 첫째 2", "train 첫째 5"]
    assert data.dev["score"][:] == pytest.approx([LABELS[0] / 5, LABELS[2] / 5, 0])
    assert "inferred" not in str(data.provenance.note)
    klue_folder(tmp_path)
    assert load_examples(KlueSts(local_folder=str(tmp_path))).train["sentence1"][0] == "train a0"


def test_a_part_of_a_domain_is_no_sign_of_inferred_sources(tmp_path: Path) -> None:
    folder = klue_folder(tmp_path / "klue", ["airbnb-rtt"] * 6)
    data = load_examples(KlueSts(local_folder=str(folder), domain="airbnb-rtt"))
    assert len(data.train) == 6 and "inferred" not in str(data.provenance.note)


@pytest.mark.parametrize("unset", [None, ""])
def test_the_hub_is_used_without_a_local_folder(unset: str | None, hub: list[tuple[object, ...]]) -> None:
    config = KlueSts(local_folder=unset)
    data = load_examples(config)
    assert data.source == "hub"
    assert hub == [("klue/klue", "sts", split, config.hub_revision) for split in ("train", "validation")]
    assert data.dev["sentence1"][:] == ["validation 첫째 0", "validation 첫째 2", "validation 첫째 5"]
    assert data.dev["score"][:] == pytest.approx([LABELS[0] / 5, LABELS[2] / 5, 0], abs=1e-15)
    assert data.provenance.note is None
    assert "local: KLUE_STS_DIR (data.local_folder) is not set" in data.warnings[0]


def test_the_user_chooses_sources_and_their_order(tmp_path: Path, hub: list[tuple[object, ...]]) -> None:
    folder = str(klue_folder(tmp_path / "klue"))
    assert load_examples(KlueSts(local_folder=folder, sources=["hub", "local"])).source == "hub"


def test_another_domain_is_selected(hub: list[tuple[object, ...]]) -> None:
    with pytest.raises(UserError, match=r"expected at least 2 pairs for train, found 1"):
        load_examples(KlueSts(domain="policy"))
    with pytest.raises(UserError, match=r"expected rows of 'hotel', found \['airbnb-rtt'.*set data\.domain"):
        load_examples(KlueSts(domain="hotel"))


def test_the_sample_comes_last_and_is_marked_as_no_benchmark(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setattr(klue_sts, "SAMPLE", klue_folder(tmp_path / "sample", ["airbnb"] * 6))
    data = load_examples(KlueSts())
    assert (data.source, len(data.train), data.provenance.license) == ("sample", 6, "cc0-1.0")
    assert "no benchmark" in str(data.provenance.note)
    assert "local: KLUE_STS_DIR" in data.warnings[0] and "hub: the Hugging Face Hub cannot be" in data.warnings[0]


def test_the_error_lists_all_unavailable_sources(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setattr(klue_sts, "SAMPLE", tmp_path / "none")
    with pytest.raises(UserError) as caught:
        load_examples(KlueSts())
    for part in ("local: KLUE_STS_DIR", "hub: the Hugging Face Hub", "sample: the project's", "set KLUE_STS_DIR"):
        assert part in str(caught.value)
    with pytest.raises(UserError, match=r"\(hub: the Hugging Face Hub cannot be reached\)"):
        load_examples(KlueSts(sources=["hub"]))


def test_an_invalid_local_folder_is_refused_not_skipped(tmp_path: Path, hub: list[tuple[object, ...]]) -> None:
    with pytest.raises(UserError, match=r"found nothing.*unset KLUE_STS_DIR"):
        load_examples(KlueSts(local_folder=str(tmp_path / "none")))
    folder = klue_folder(tmp_path / "klue")
    with pytest.raises(UserError, match="found a file"):
        load_examples(KlueSts(local_folder=str(folder / "train.csv")))
    text = (folder / "dev.csv").read_text("utf-8")
    (folder / "dev.csv").write_text(text.replace(str(LABELS[2]), "5.5"), "utf-8")
    with pytest.raises(UserError, match=r"dev\.csv, data row 3, column 'label': expected a score from 0 to 5"):
        load_examples(KlueSts(local_folder=str(folder)))
    (folder / "dev.csv").unlink()
    with pytest.raises(UserError, match=r"dev\.csv: expected a file, found nothing"):
        load_examples(KlueSts(local_folder=str(folder)))
    assert hub == []


def test_a_missing_hub_data_set_is_refused_and_a_failing_hub_skipped(tmp_path: Path, hub, monkeypatch) -> None:
    monkeypatch.setattr(klue_sts, "SAMPLE", klue_folder(tmp_path / "sample", ["airbnb"] * 6))

    def failing(error: Exception):
        def load(*args: object, **options: object) -> Dataset:
            raise error

        return load

    monkeypatch.setattr("datasets.load_dataset", failing(DatasetNotFoundError("Dataset 'klue/clue' doesn't exist")))
    with pytest.raises(UserError, match=r"'klue/clue' .*doesn't exist"):
        load_examples(KlueSts(hub_name="klue/clue"))
    monkeypatch.setattr("datasets.load_dataset", failing(ConnectionError("reset by peer")))
    data = load_examples(KlueSts())
    assert data.source == "sample"
    assert "ConnectionError" in data.warnings[0]


def cache_split(folder: Path, split: str) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    with ArrowWriter(path=str(folder / f"klue-{split}.arrow"), features=HUB_FEATURES) as writer:
        for record in hub_split(split):
            writer.write(record)
        writer.finalize()


def test_only_the_pinned_commit_is_read_from_the_cache(tmp_path: Path) -> None:
    config = KlueSts(sources=["hub"])
    versions = tmp_path / "hf" / "klue___klue" / "sts" / "0.0.0"
    for split in ("train", "validation"):
        cache_split(versions / config.hub_revision, split)
    data = load_examples(config)
    assert data.source == "hub"
    assert data.dev["sentence1"][0] == "validation 첫째 0"
    with pytest.raises(UserError, match="cannot be reached"):
        load_examples(KlueSts(sources=["hub"], hub_revision="0" * 40))


def test_another_revision_than_the_pinned_one_is_refused(tmp_path: Path, hub, monkeypatch) -> None:
    cache_split(tmp_path / ("1" * 40), "train")
    stale = Dataset.from_file(str(tmp_path / ("1" * 40) / "klue-train.arrow"))
    monkeypatch.setattr("datasets.load_dataset", lambda *args, **options: stale)
    with pytest.raises(UserError, match="another revision"):
        load_examples(KlueSts(sources=["hub"]))


def test_the_library_caches_in_the_expected_folder(tmp_path: Path) -> None:
    source = tmp_path / "set"
    source.mkdir()
    hub_split("train").to_parquet(str(source / "train.parquet"))
    loaded = load_dataset("parquet", data_files=str(source / "train.parquet"), cache_dir=str(tmp_path / "cache"))
    (file,) = loaded["train"].cache_files
    place = Path(file["filename"]).relative_to(tmp_path / "cache")
    assert len(place.parts) == 5  # data set, configuration, version, hash, file
    assert place.name == "parquet-train.arrow"
