"""Write the pairs of an experiment as Parquet files: python -m src.prepare +experiment=review_sts."""

import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

from src.config import Config
from src.data import digest, load_pairs
from src.entry import entry
from src.files import replacing, sole_use


def run(config: Config) -> dict[str, Any]:
    """Write data/{train,dev,test}.parquet and data/data.json into `config.folder`; return what data.json holds.

    Where there is no test split there is no test.parquet. The same pairs give the same bytes.
    """
    with sole_use(Path(config.folder)):
        pairs = load_pairs(config.data)
        splits = {"train": pairs.train, "dev": pairs.dev} | ({"test": pairs.test} if pairs.test else {})
        facts: dict[str, Any] = {
            "source": pairs.source,
            "origin": asdict(pairs.origin),
            "findings": list(pairs.findings),
            "splits": {name: {"pairs": len(split), "digest": digest(split)} for name, split in splits.items()},
        }
        with replacing(Path(config.folder) / "data") as draft:
            draft.mkdir()
            for name, split in splits.items():
                split.to_parquet(draft / f"{name}.parquet")
            text = json.dumps(facts, indent=2, ensure_ascii=False)
            (draft / "data.json").write_text(text + "\n", encoding="utf-8")
    return facts


if __name__ == "__main__":
    entry(run)()
