"""Invalid input of every command: one sentence, exit code 2, no traceback and no file left behind."""

import gzip
import json
import shlex
import shutil
import sys
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple
from unicodedata import normalize

import pytest
import torch
from safetensors.torch import load_file, save_file

import src.bench
import src.compare
import src.predict
import src.prepare
import src.reproduce
import src.sweep
import src.train
from src.cli import hydra_command, parser_command
from src.config.data import PairFiles
from src.data import load_examples
from tests.conftest import write_pairs

COMMANDS: dict[str, Callable[[], None]] = {
    "train": lambda: hydra_command(src.train.run)(),
    "prepare": lambda: hydra_command(src.prepare.run)(),
    "bench": lambda: hydra_command(src.bench.run, "bench")(),
    "sweep": lambda: hydra_command(src.sweep.run, "sweep")(),
    "predict": lambda: hydra_command(src.predict.run, "predict")(),
    "compare": lambda: parser_command(src.compare.run, src.compare.parser())(),
    "reproduce": lambda: parser_command(src.reproduce.run, src.reproduce.parser())(),
}
TINY = "name=tiny data=pairs data.train=pairs.csv data.dev=pairs.csv model=hub model.path=encoder"
MIXTURE = "name=tiny data=mixture model=hub model.path=encoder"


class Case(NamedTuple):
    """A command in a folder with `pairs.csv` and `encoder`, and parts of the expected sentence."""

    command: str
    parts: tuple[str, ...]
    files: dict[str, bytes] = {}  # noqa: RUF012


HEADER = b"sentence1,sentence2,score\n"
ROWS = b"a,b,1\nc,d,0\ne,f,0.5\n"
CSV = HEADER + ROWS
JSON = b'{"sentence1": "a", "sentence2": "b", "score": 1}\n'


NLI = b"premise,hypothesis,gold_label\na,b,entailment\na,c,contradiction\n"
TRIPLETS = b"anchor,positive,negative\na,b,c\nd,e,f\n"
LISTS = b'{"query": "a", "pos": ["b"], "neg": ["c"]}\n'


def train_on(name: str, content: bytes, *parts: str) -> Case:
    """Return the case of a training on one invalid file."""
    return Case(f"train {TINY} data.train={name}", (name.split()[0], *parts), {name.split()[0]: content})


DATA = {
    "an empty file": train_on("bad.csv", b"", "empty file", "add a header"),
    "a header only": train_on("bad.csv", HEADER, "header only", "add rows"),
    "another delimiter": train_on("bad.csv", CSV.replace(b",", b";"), "separated by ';'", "save it with ','"),
    "tabs in a CSV": train_on("bad.csv", CSV.replace(b",", b"\t"), "rename it to .tsv"),
    "broken UTF-8": train_on("bad.csv", CSV + b"\xb0\xa1,b,1\n", "line 5", "0xb0", "save the file as UTF-8"),
    "UTF-16": train_on("bad.csv", CSV.decode().encode("utf-16"), "line 1", "UTF-16", "save the file as UTF-8"),
    "a NUL byte": train_on("bad.csv", CSV + b"a\0,b,1\n", "line 5", "a NUL byte"),
    "a spreadsheet": train_on("bad.csv", b"PK\x03\x04\xff", "Excel", "save the file as UTF-8"),
    "10 MB on one line": train_on(
        "bad.csv", CSV + b"x" * 10_000_000 + b",b,1\n", "data row 4", "'sentence1'", "100,000"
    ),
    "a quotation mark not closed": train_on(
        "bad.csv", CSV + b'"a,b,1\nc,d,1\n', "data row 4", "quotation mark", "close it"
    ),
    "a row with an extra value": train_on("bad.csv", CSV + b"a,b,c,1\n", "data row 4", "3 values, found 4"),
    "a row with a value less": train_on("bad.csv", CSV + b"a,1\n", "data row 4", "3 values, found 2"),
    "a missing column": train_on("bad.csv", CSV.replace(b"score", b"mark"), "scored: sentence1, sentence2, score"),
    "scores as labels": train_on(
        "bad.csv", CSV.replace(b"score", b"label"), "data row 3, column 'label'", "'0.5'", "data.score=label"
    ),
    "an unknown label": train_on("bad.csv", NLI + b"a,b,maybe\n", "data row 3", "'maybe'", "data.labels="),
    "answers with a label": train_on("bad.csv", b"question,answer,label\na,b,1\n", "data.sentence1=question"),
    "columns of two shapes": train_on("bad.csv", b"anchor,positive," + NLI, "several", "set data.shape"),
    "a negative equal to its positive": train_on(
        "bad.csv", TRIPLETS + b"g,h,h\n", "data row 3, column 'negative'", "another text than its positive"
    ),
    "a blank negative": train_on("bad.csv", TRIPLETS + b"g,h, \n", "data row 3, column 'negative'", "not blank"),
    "a query without an answer": train_on(
        "bad.jsonl", LISTS + b'{"query": "c", "pos": []}\n', "data row 2, column 'pos'", "at least one text"
    ),
    "a number in a list": train_on(
        "bad.jsonl", LISTS + b'{"query": "c", "pos": [7]}\n', "data row 2, column 'pos[]'", "found 7"
    ),
    "more negatives than there are": Case(
        f"train {TINY} data.train=bad.jsonl data.negatives=3", ("data.negatives", "at most 1"), {"bad.jsonl": LISTS}
    ),
    "one answer to all": train_on("bad.csv data.dev=null", b"query,pos\na,b\nc,b\n", "different positives, found 'b'"),
    "a dev file of another shape": Case(
        f"train {TINY} data.train=t.csv",
        ("pairs.csv", "without ['anchor', 'positive', 'negative']"),
        {"t.csv": TRIPLETS},
    ),
    "a column twice": train_on("bad.csv", b"score," + CSV.replace(b"\n", b"\n1,")[:-2], "['score'] more than once"),
    "NaN as score": train_on("bad.csv", CSV + b"a,b,NaN\n", "data row 4", "'score'", "a number", "'NaN'"),
    "infinity as score": train_on("bad.csv", CSV + b"a,b,inf\n", "data row 4", "'score'", "a number", "'inf'"),
    "a score too large for a double": train_on(
        "bad.csv", CSV + b"a,b,1e999\n", "data row 4", "'score'", "a finite number"
    ),
    "text as score": train_on("bad.csv", CSV + b"a,b,high\n", "data row 4", "'score'", "'high'", "such as 0.5"),
    "no score": train_on("bad.csv", CSV + b"a,b,\n", "data row 4", "'score'", "a number"),
    "a decimal comma": train_on("bad.tsv", CSV.replace(b",", b"\t") + b"a\tb\t0,5\n", "data row 4", "'0,5'"),
    "a score out of range": train_on("bad.csv", CSV + b"a,b,4\n", "data row 4", "0 to 1", "data.max_score=5"),
    "one class only": train_on("bad.csv", HEADER + b"a,b,1\nc,d,1\n", "different scores, found 1 of 1", "add pairs"),
    "equal scores": train_on("bad.csv", HEADER + b"a,b,0.5\nc,d,0.5\n", "different scores, found 0.5", "add pairs"),
    "one pair": train_on("bad.csv", HEADER + b"a,b,1\n", "at least 2 pairs", "found 1", "add pairs"),
    "a blank sentence": train_on(
        "bad.csv", CSV + "a,\u3000\u200b,1\n".encode(), "data row 4", "'sentence2'", "not blank"
    ),
    "broken JSON": train_on("bad.jsonl", JSON + JSON[:20], "data row 2", "one object a line"),
    "a JSON array cut off": train_on("bad.json", b"[" + JSON + b",", "data row 2", "the end of the file"),
    "a gzip file cut off": train_on("bad.csv.gz", gzip.compress(CSV)[:-5], "a complete gzip file"),
    "rows joined by quotation marks": train_on(
        "bad.csv", CSV + b'a,"b,1\nc,d,1\ne,f,1\ng,h",1\n', "data row 4", "every quotation mark closed", "line(s)"
    ),
    "an unknown quoting": Case(f"train {TINY} data.quoting=excel", ("data.quoting", "none", "'excel'")),
    "a path that is too long": Case(f"train {TINY} data.train={'x' * 300}.csv", ("a readable file", "too long")),
    "a number as sentence": train_on(
        "bad.jsonl", JSON + JSON.replace(b'"a"', b"7"), "data row 2", "'sentence1'", "found 7"
    ),
    "NaN in JSON": train_on("bad.jsonl", JSON + JSON.replace(b"1}", b"NaN}"), "data row 2", "'score'", "nan"),
    "null in JSON": train_on("bad.jsonl", JSON + JSON.replace(b"1}", b"null}"), "data row 2", "'score'", "None"),
    "a lone surrogate": train_on("bad.jsonl", JSON + JSON.replace(b'"a"', b'"\\ud800"'), "data row 2"),
    "no Parquet": train_on("bad.parquet", CSV, "expected a Parquet file", "write it again"),
    "Parquet cut off": train_on("bad.parquet", b"PAR1\0\0\0", "expected a Parquet file"),
    "another ending": train_on("bad.xlsx", b"PK", "'.xlsx'", "convert or rename"),
    "a directory": Case(f"train {TINY} data.train=encoder.csv", ("encoder.csv", "a directory"), {"encoder.csv/x": b""}),
    "a missing file": Case(f"train {TINY} data.train=none.csv", ("none.csv", "found nothing", "correct the path")),
    "a missing dev file": Case(f"train {TINY} data.dev=none.csv", ("none.csv", "found nothing")),
    "pairs that cannot be split": Case(
        "train name=tiny data=pairs data.train=tied.csv model=hub model.path=encoder",
        ("expected to split off 0.1", "data.dev"),
        {"tied.csv": HEADER + b"".join(b"a,b%d,0.%d\n" % (i, i % 7) for i in range(20))},
    ),
    "a missing KLUE-STS folder": Case(
        "prepare +experiment=review_sts data.local_folder=none", ("none", "train.csv", "KLUE_STS_DIR")
    ),
    "a KLUE-STS folder without its files": Case(
        "prepare +experiment=review_sts data.local_folder=encoder", ("train.csv", "found nothing")
    ),
    "an unknown domain": Case(
        "prepare +experiment=review_sts data.sources=[sample] data.domain=hotel", ("'hotel'", "data.domain")
    ),
    "an unreachable source": Case(
        "prepare +experiment=review_sts data.sources=[hub]", ("Hub cannot be reached", "KLUE_STS_DIR")
    ),
}

CONFIG = {
    "a misspelt key": Case(f"train {TINY} trainer.warmup=0.1", ("warmup", "not in 'TrainerConfig'")),
    "a key without its group": Case(f"train {TINY} learning_rate=1e-4", ("learning_rate", "not in 'Config'")),
    "a text for a number": Case(f"train {TINY} trainer.epochs=many", ("trainer.epochs", "many")),
    "a fraction for a whole number": Case(f"train {TINY} trainer.batch_size=2.5", ("trainer.batch_size", "2.5")),
    "an unknown shape": Case(f"train {TINY} data.shape=pairs", ("data.shape", "triplets", "'pairs'")),
    "a label of 2": Case(f"train {TINY} 'data.labels={{a: 2}}'", ("data.labels", "0, 1 or null")),
    "a mixture of nothing": Case(f"train {MIXTURE}", ("data.sets must be", "{sts: {train: sts.tsv}}")),
    "a misspelt key of a set": Case(
        f"train {MIXTURE} 'data.sets={{a: {{trian: x.csv}}}}'", ("data.sets.a.trian", "not in 'PairFiles'")
    ),
    "a text for a number of a set": Case(
        f"train {MIXTURE} 'data.sets={{a: {{train: x.csv, weight: much}}}}'", ("data.sets.a.weight", "'much'")
    ),
    "an unknown primary set": Case(
        f"train {MIXTURE} data.primary=b 'data.sets={{a: {{train: pairs.csv}}}}'", ("data.primary", "['a']", "'b'")
    ),
    "a missing file of a set": Case(
        f"train {MIXTURE} 'data.sets={{a: {{train: x.csv}}}}'", ("data.sets.a: x.csv", "found nothing")
    ),
    "an unknown choice": Case(f"train {TINY} model=kobert", ("kobert", "kr_sbert")),
    "an unknown experiment": Case("train +experiment=none", ("experiment/none", "review_sts")),
    "a missing value": Case("train data=pairs model=hub model.path=encoder", ("data.train",)),
    "a reference to nothing": Case(f"train {TINY} 'loss.name=${{nowhere}}'", ("nowhere",)),
    "an open bracket": Case(f"train {TINY} 'data.sentence1=[a'", ("data.sentence1=[a",)),
    "an empty batch": Case(f"train {TINY} trainer.batch_size=0", ("trainer.batch_size", "at least 1", "found 0")),
    "a ranking loss without a second pair": Case(
        f"train {TINY} loss=angle trainer.batch_size=1", ("trainer.batch_size", "at least 2 with loss=angle", "found 1")
    ),
    "a learning rate above 1": Case(f"train {TINY} trainer.learning_rate=2", ("trainer.learning_rate", "below 1")),
    "a learning rate of NaN": Case(f"train {TINY} trainer.learning_rate=nan", ("trainer.learning_rate", "nan")),
    "infinite epochs": Case(f"train {TINY} trainer.epochs=inf", ("trainer.epochs", "inf")),
    "evaluation after infinity": Case(f"train {TINY} trainer.eval_steps=inf", ("trainer.eval_steps", "inf")),
    "evaluation after a part of a step": Case(
        f"train {TINY} trainer.eval_steps=0.25", ("trainer.eval_steps", "trainer.eval_every_epochs=0.25")
    ),
    "two intervals of evaluation": Case(
        f"train {TINY} trainer.eval_steps=10 trainer.eval_every_epochs=0.5",
        ("trainer.eval_steps", "trainer.eval_every_epochs", "both"),
    ),
    "two intervals of checkpoints": Case(
        f"train {TINY} trainer.save_steps=10 trainer.save_every_epochs=0.5",
        ("trainer.save_steps", "trainer.save_every_epochs", "both"),
    ),
    "evaluation after 1.5 steps": Case(f"train {TINY} trainer.eval_steps=1.5", ("trainer.eval_steps", "whole")),
    "an infinite weight decay": Case(f"train {TINY} trainer.weight_decay=inf", ("trainer.weight_decay", "inf")),
    "a negative seed": Case(f"train {TINY} trainer.seed=-1", ("trainer.seed", "at least 0")),
    "an unknown loss": Case(f"train {TINY} loss.name=mse", ("loss.name", "cosent", "'mse'")),
    "an unknown precision": Case(f"train {TINY} trainer.precision=fp8", ("trainer.precision", "bf16", "'fp8'")),
    "a descending range": Case(f"train {TINY} data.min_score=2", ("data.max_score", "above data.min_score 2")),
    "an infinite range": Case(f"train {TINY} data.max_score=inf", ("data.max_score", "inf")),
    "all of train as dev": Case(f"train {TINY} data.dev_fraction=1", ("data.dev_fraction", "between 0 and 1")),
    "a length without room for a token": Case(f"train {TINY} model.max_length=2", ("model.max_length", "more than 2")),
    "more tokens than positions": Case(f"train {TINY} model.max_length=513", ("model.max_length", "at most 512")),
    "a dropout of 1": Case(f"train {TINY} model.dropout=1", ("model.dropout", "below 1")),
    "an experiment without a name": Case(f"train {TINY} name=''", ("name", "''")),
    "an experiment outside of its folder": Case(f"train {TINY} name=../../out", ("name", "../../out")),
    "a name that is too long": Case(f"train {TINY} name={'x' * 256}", ("name", "at most 255 bytes", "of 256 bytes")),
    "a name that Windows reserves": Case(f"sweep {TINY} name=con", ("name", "Windows")),
    "a name with a dot at its end": Case(f"prepare {TINY} name=a.", ("name", "'a.'")),
    "a benchmark without a valid name": Case(f"bench {TINY} name=../up", ("name", "'../up'")),
    "a file in place of a folder": Case(f"train {TINY} folder=pairs.csv", ("pairs.csv", "expected a folder")),
    "a file above a folder": Case(f"prepare {TINY} folder=pairs.csv/x", ("pairs.csv/x", "expected a folder")),
    "a folder with too long a name": Case(f"train {TINY} folder=new/{'x' * 256}", ("too long", "another place")),
    "a negative seed of the split": Case(f"train {TINY} data.dev=null data.seed=-1", ("data.seed", "at least 0")),
    "the best weights without checkpoints": Case(
        f"train {TINY} trainer.keep=best trainer.checkpoints=false", ("trainer.keep", "last without", "'best'")
    ),
    "a home folder of nobody": Case(f"train {TINY} model.path=~nobody-here/m", ("~nobody-here/m", "found none")),
    "missing pairs for a folder of one's own": Case(
        f"train {TINY} hydra.run.dir=new/folder data.train=none.csv", ("none.csv", "found nothing")
    ),
    "missing pairs for a sweep": Case(f"sweep {TINY} data.train=none.csv", ("none.csv", "found nothing")),
    "a tuned configuration that reads the environment": Case(
        f"train {TINY} '+tuned=a b'",
        ("a b/sweep/best.yaml", "interpolation"),
        {"experiments/a b/sweep/best.yaml": b"model: {name: '${oc.env:HOME}'}"},
    ),
    "an unknown store": Case(f"train {TINY} tracking.uri=ftp://x", ("tracking.uri", "sqlite:///PATH", "ftp://x")),
    "a password in the store": Case(
        f"train {TINY} tracking.uri=http://me:secret@host",
        ("tracking.uri", "MLFLOW_TRACKING_PASSWORD", "'http://host'"),
    ),
    "an address in place of a folder": Case(
        f"train {TINY} tracking.artifacts=s3://me:secret@bucket", ("tracking.artifacts", "a folder", "'s3://bucket'")
    ),
    "too many generated pairs": Case(
        "train +experiment=project_match data.dev_pairs=2000", ("data.dev_pairs", "1,000")
    ),
    "a benchmark of no rounds": Case("bench +experiment=review_sts bench.rounds=0", ("bench.rounds", "at least 1")),
    "a benchmark against an unknown trainer": Case(
        "bench +experiment=review_sts bench.rivals=[plain]", ("bench.rivals", "stock_fp32", "plain")
    ),
    "a benchmark of the best weights": Case(f"bench {TINY} trainer.keep=best", ("trainer.keep", "no checkpoints")),
    "a benchmark of growth without scores": Case(
        f"bench {TINY} data.train=t.csv data.dev=t.csv bench.growth=true",
        ("bench.growth", "examples that are not scored"),
        {"t.csv": TRIPLETS + b"g,h,i\n"},
    ),
    "a benchmark without a rival": Case(f"bench {TINY} bench.rivals=[stock_uncut]", ("bench.rivals", "stock_uncut")),
    "a sweep without a space": Case(f"sweep {TINY} ~sweep.space", ("sweep.space",)),
    "a sweep of an unknown key": Case(
        f"sweep {TINY} '+sweep.space.trainer.momentum={{low: 0, high: 1}}'", ("trainer.momentum",)
    ),
    "a descending sweep": Case(
        f"sweep {TINY} sweep.space.trainer.warmup_ratio.low=0.5", ("sweep.space.trainer.warmup_ratio", "0.5")
    ),
    "a misspelt key of the confirmation": Case(
        f"sweep {TINY} +sweep.confirm.topk=5", ("sweep.confirm.topk", "'sweep.confirm.top_k'", "does not exist")
    ),
    "a sweep without trials": Case(f"sweep {TINY} sweep.trials=0", ("sweep.trials", "at least 1")),
    "a sweep with one fold": Case(f"sweep {TINY} sweep.folds=1", ("sweep.folds", "at least 2", "found 1")),
    "folds and a validation part": Case(
        f"sweep {TINY} sweep.folds=2 sweep.validation=0.2", ("sweep.validation", "with sweep.folds", "found 0.2")
    ),
    "a sweep with too many folds": Case(f"sweep {TINY} sweep.folds=900", ("sweep.folds=900", "at least 900 groups")),
    "an unknown sampler": Case(f"sweep {TINY} sweep.sampler=cma", ("sweep.sampler", "tpe", "'cma'")),
    "a database of another kind": Case(
        f"sweep {TINY} sweep.storage=mysql://me:secret@host/x", ("sweep.storage", "host")
    ),
    "an unreachable database": Case(
        f"sweep {TINY} sweep.storage=postgresql://me:secret@127.0.0.1:9/x", ("sweep.storage", "check the address")
    ),
}

PREDICT = "predict model=encoder pairs=pairs.csv"
PREDICTIONS = {
    "no model": Case("predict pairs=pairs.csv", ("model must be", "OWNER/NAME")),
    "a missing model": Case("predict model=./none pairs=pairs.csv", ("model=none", "found nothing")),
    "a model in a home folder of nobody": Case("predict model=~nobody-here/m pairs=pairs.csv", ("found nothing",)),
    "a file as model": Case("predict model=./pairs.csv pairs=pairs.csv", ("found a file",)),
    "a folder without a model": Case(
        "predict model=./empty pairs=pairs.csv", ("modules.json", "train the experiment to its end"), {"empty/x": b""}
    ),
    "neither pairs nor queries": Case("predict model=encoder", ("pairs=FILE", "found neither")),
    "queries without candidates": Case("predict model=encoder queries=pairs.csv", ("candidates=FILE", "found queries")),
    "a top_k of 0": Case(f"{PREDICT} top_k=0", ("top_k", "at least 1")),
    "missing pairs": Case("predict model=encoder pairs=none.csv", ("none.csv", "found nothing")),
    "a lone surrogate to predict": Case(
        "predict model=encoder pairs=bad.jsonl",
        ("bad.jsonl, data row 2", "lone surrogates"),
        {"bad.jsonl": JSON + JSON.replace(b'"a"', b'"\\ud800"')},
    ),
    "an output of an unknown format": Case(f"{PREDICT} output=out.txt", ("out.txt", "ends in one of")),
    "an output in a missing folder": Case(f"{PREDICT} output=none/out.csv", ("expected a folder at none",)),
    "an output over the input": Case(f"{PREDICT} output=pairs.csv", ("expected another file than the input",)),
    "a missing column of pairs": Case(f"{PREDICT} sentence1=text", ("pairs.csv", "['text']", "sentence1=")),
    "a model in a missing store": Case(
        "predict model=models:/tiny/1 pairs=pairs.csv", ("models:/tiny/1", "train first")
    ),
    "a model in an invalid store": Case(
        "predict model=models:/tiny/1 pairs=pairs.csv tracking.uri=sqlite:///bad.db",
        ("models:/tiny/1", "bad.db", "tracking.uri"),
        {"bad.db": b"no database, though longer than the hundred bytes of the head of one " * 9},
    ),
}

RUNS = {
    "one run to compare": Case("compare one", ("2 to 26 runs", "found 1")),
    "missing runs to compare": Case("compare one other", ("one: expected an experiment folder", "--uri")),
    "a comparison with an unknown option": Case("compare one other --best", ("--best", "RUN RUN")),
    "a run to reproduce without a store": Case("reproduce none", ("mlflow.db", "an MLflow store", "--uri")),
}

STORES = {
    "a store that is not a database": Case(
        f"train {TINY} tracking.uri=sqlite:///bad.txt",
        ("bad.txt", "tracking.uri"),
        {"bad.txt": b"no database, though longer than the hundred bytes of the head of one " * 9},
    ),
    "a folder as store": Case(f"train {TINY} tracking.uri=sqlite:///encoder", ("encoder", "tracking.uri")),
    "a store in a read-only place": Case(
        f"train {TINY} tracking.uri=sqlite:////proc/none/mlflow.db", ("/proc/none", "tracking.uri")
    ),
}

CASES = DATA | CONFIG | PREDICTIONS | RUNS | STORES


@pytest.fixture
def folder(new_process: None, tmp_path: Path, tiny_encoder_folder: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The current folder, with 40 valid pairs in `pairs.csv` and the tiny `encoder`; the Hub is switched off."""
    write_pairs(tmp_path / "pairs.csv")
    shutil.copytree(tiny_encoder_folder, tmp_path / "encoder")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    monkeypatch.delenv("KLUE_STS_DIR", raising=False)
    return tmp_path


@pytest.fixture
def refused(folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Callable[[str], str]:
    """Run a command that must fail, and return its sentence."""

    def run(command: str) -> str:
        name, *arguments = shlex.split(command)
        before = content(folder)
        monkeypatch.setattr(sys, "argv", [f"src/{name}.py", *arguments])
        with pytest.raises(SystemExit) as exit_:
            COMMANDS[name]()
        sentence = capsys.readouterr().err
        assert exit_.value.code == 2, sentence
        assert len(sentence.splitlines()) == 1 and len(sentence) < 1000, sentence
        assert "Traceback" not in sentence and "secret" not in sentence
        assert content(folder) == before
        return sentence

    return run


def content(folder: Path) -> dict[Path, int]:
    """Return the files with their times, and empty folders; without locks and logs, which a run that fails keeps."""
    files = (path for path in folder.rglob("*") if path.is_file() and path.suffix not in (".lock", ".log"))
    empty = {path: 0 for path in folder.rglob("*") if path.is_dir() and not any(path.iterdir())}
    return empty | {path: path.stat().st_mtime_ns for path in files}


@pytest.mark.parametrize("case", CASES)
def test_invalid_input_is_one_sentence_and_exit_code_2(case: str, folder: Path, refused: Callable[[str], str]) -> None:
    command, parts, files = CASES[case]
    for name, written in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(written)
    sentence = refused(command)
    assert [part for part in parts if part not in sentence] == [], sentence


@pytest.mark.parametrize("command", [f"train {TINY}", PREDICT, f"train {TINY} tracking.uri=sqlite:///mlflow.db"])
def test_an_address_from_the_environment_that_cannot_be_used_is_one_sentence(
    command: str, refused: Callable[[str], str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "databricks")
    sentence = refused(command)
    assert "tracking.uri (from MLFLOW_TRACKING_URI)" in sentence
    assert "correct MLFLOW_TRACKING_URI, or unset it" in sentence


def test_a_missing_run_to_reproduce_is_one_sentence_and_exit_code_2(
    folder: Path, refused: Callable[[str], str], empty_store: Path
) -> None:
    shutil.copy(empty_store, folder / "mlflow.db")
    sentence = refused("reproduce none --uri sqlite:///mlflow.db")
    assert "none: expected" in sentence and "--uri" in sentence


def rewrite(path: Path, **values: object) -> None:
    path.write_text(json.dumps({**json.loads(path.read_text()), **values}))


def truncate(path: Path) -> None:
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def pickle_weights(encoder: Path) -> None:
    torch.save(load_file(encoder / "model.safetensors"), encoder / "pytorch_model.bin")
    (encoder / "model.safetensors").unlink()


def rename_weights(encoder: Path) -> None:
    weights = load_file(encoder / "model.safetensors")
    renamed = {name.replace("encoder.layer", "blocks"): weight for name, weight in weights.items()}
    save_file(renamed, encoder / "model.safetensors", {"format": "pt"})


def break_weights(encoder: Path) -> None:
    weights = load_file(encoder / "model.safetensors")
    save_file({name: weight * torch.nan for name, weight in weights.items()}, encoder / "model.safetensors")


MODELS: dict[str, tuple[Callable[[Path], object], tuple[str, ...]]] = {
    "no folder": (shutil.rmtree, ("model.path=encoder", "found none")),
    "no configuration": (lambda at: (at / "config.json").unlink(), ("config.json", "found none")),
    "a broken configuration": (lambda at: truncate(at / "config.json"), ("encoder",)),
    "no weights": (lambda at: (at / "model.safetensors").unlink(), ("*.safetensors", "found none")),
    "weights cut off": (lambda at: truncate(at / "model.safetensors"), ("encoder",)),
    "invalid weights": (lambda at: (at / "model.safetensors").write_bytes(b"x" * 99), ("encoder",)),
    "pickled weights": (pickle_weights, ("only a pickle", "convert it with `cd", "weights_only=True")),
    "weights of another architecture": (rename_weights, ("encoder", "encoder.layer.0")),
    "weights of another size": (lambda at: rewrite(at / "config.json", hidden_size=64), ("encoder",)),
    "weights of NaN": (break_weights, ("encoder", "finite weights")),
    "an unknown architecture": (lambda at: rewrite(at / "config.json", model_type="own"), ("encoder", "own")),
    "an architecture without text": (lambda at: rewrite(at / "config.json", model_type="resnet"), ("encoder",)),
    "no tokenizer": (lambda at: (at / "tokenizer.json").unlink(), ("a tokenizer", "add the model's")),
    "a tokenizer cut off": (lambda at: truncate(at / "tokenizer.json"), ("encoder",)),
    "invalid modules": (lambda at: (at / "modules.json").write_text("[1]"), ("encoder",)),
    "an unknown module": (
        lambda at: (at / "modules.json").write_text('[{"idx": 0, "name": "0", "path": "", "type": "own.Module"}]'),
        ("encoder",),
    ),
    "no pooling": (lambda at: shutil.rmtree(at / "1_Pooling"), ("encoder",)),
}


@pytest.mark.parametrize("case", MODELS)
def test_an_invalid_model_folder_is_one_sentence_and_exit_code_2(
    case: str, folder: Path, refused: Callable[[str], str]
) -> None:
    damage, parts = MODELS[case]
    damage(folder / "encoder")
    sentence = refused(f"train {TINY} tracking.models=false")
    assert [part for part in parts if part not in sentence] == [], sentence


def test_unusual_text_is_valid_normalised_and_reported(tmp_path: Path) -> None:
    decomposed = normalize("NFD", "깨끗한 방")
    texts = [("👍🏽 최고 👨‍👩‍👧", "좋아요 😍"), ("غرفة نظيفة", "חדר נקי"), (decomposed, "깨끗한 방"), ("a\u0301", "b")]
    lines = [f"{first},{second},{score / 10}" for score, (first, second) in enumerate(texts)]
    (tmp_path / "unusual.csv").write_text("\n".join(["sentence1,sentence2,score", *lines]), encoding="utf-8")
    data = load_examples(PairFiles(train=str(tmp_path / "unusual.csv"), dev=str(tmp_path / "unusual.csv")))
    assert data.train["sentence1"] == ["👍🏽 최고 👨‍👩‍👧", "غرفة نظيفة", "깨끗한 방", "á"]
    assert data.train["sentence2"][1] == "חדר נקי"
    assert "2 value(s) of 'sentence1' were not in Unicode NFC, decomposed Hangul" in data.warnings[0]
    assert "data row 3" in data.warnings[0]
