"""Section of the model card on the exports of an experiment's model; written again it is replaced."""

import logging
from pathlib import Path

from src.exporting.folder import INFO, ExportInfo
from src.exporting.place import FOLDER
from src.exporting.proof import Proof
from src.exporting.speed import BATCH
from src.report.sentence import signed
from src.utils.errors import UserError, shorten
from src.utils.files import write_text
from src.utils.text import escape_markdown, replace_section

CARD = Path("model") / "README.md"
START, END = "<!-- exports -->", "<!-- end of exports -->"
BEFORE = "\n## Citation\n"
"""Heading of the card before which a new section is put."""

log = logging.getLogger(__name__)


def write_section(experiment: Path, digest: str, latest: Path) -> None:
    """Write the exports of the model with this digest into its card, if it has one; `latest` may lie elsewhere.

    A card that cannot be read is left as it is, with a warning.
    """
    path = experiment / CARD
    if not path.is_file():
        return
    earlier = [each for each in sorted((experiment / FOLDER).glob("*")) if each.resolve() != latest.resolve()]
    found = [(folder, info) for folder in (*earlier, latest) if (info := _read(folder)) and info.digest == digest]
    section = f"{START}\n{_section(experiment, found)}\n{END}"
    try:
        text = path.read_text(encoding="utf-8")
    except UnicodeDecodeError as error:
        log.warning(f"  note: {path}: expected a model card, found {shorten(error)}: the exports are not written there")
        return
    write_text(path, replace_section(text, section, (START, END), BEFORE))


def _read(folder: Path) -> ExportInfo | None:
    """Return what a folder contains, None if it is no complete export."""
    try:
        info = ExportInfo.read(folder) if (folder / INFO).is_file() else None
        return info if info and Proof.load(info.proof) else None
    except UserError:
        return None


def _section(experiment: Path, exports: list[tuple[Path, ExportInfo]]) -> str:
    """Return the Markdown of the section."""
    proofs = [(folder, info, Proof.load(info.proof)) for folder, info in exports]
    latest = proofs[-1][2]
    lines = [
        "## Exports\n",
        "Compared with this model in torch by `python -m src.export`. Speed on"
        f" {escape_markdown(latest.device)}, {latest.threads} thread(s), for one text and in batches of {BATCH}, as a"
        " multiple of that of `encode` in fp32:\n",
        f"| export | dimensions | examples | {latest.metric} | difference | cosine, mean (least) | MB | one text |"
        " in batches |",
        "|---|---|---|---|---|---|---|---|---|",
    ]
    for folder, info, proof in proofs:
        place = folder.relative_to(experiment) if folder.is_relative_to(experiment) else folder
        one, many = proof.faster("torch fp32")
        lines.append(
            f"| {escape_markdown(str(place))} | {info.dimensions} | {proof.examples:,} {proof.unit} of"
            f" {escape_markdown(proof.data)} | {proof.exported:.4f} | {signed(proof.gain)} | {proof.cosine_mean:.4f}"
            f" ({proof.cosine_min:.4f}) | {proof.bytes / 1e6:,.1f} | {one:.1f} | {many:.1f} |"
        )
    lines += [
        f"\n{latest.metric} of this model by number of dimensions:\n",
        "| dimensions | 95 % interval |",
        "|---|---|",
    ]
    lines += [f"| {dim} | {estimate} |" for dim, estimate in latest.estimates.items()]
    return "\n".join(lines)
