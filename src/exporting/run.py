"""One export: its files in a scratch folder, the comparison with torch, then the move, the card and the record."""

import json
import logging
import shutil
from dataclasses import asdict, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

from src.config.export import ExportConfig
from src.exporting.folder import TOKENIZER, ExportInfo, save_tokenizer, write_readme
from src.exporting.place import check_settings, output_of
from src.utils.console import console, log_table, relative_to_cwd
from src.utils.errors import UserError
from src.utils.files import atomic_write, file_digests, size_of

if TYPE_CHECKING:
    from src.exporting.proof import Proof
    from src.exporting.source import Source

log = logging.getLogger(__name__)


def export_model(config: ExportConfig) -> Path:
    """Export a model, compare it with the one in torch, record it, and return the folder.

    Raises `UserError`, and writes nothing, if a package is missing, the model cannot be exported, or the export loses
    more than `export.tolerance`.
    """
    check_settings(config)
    # these import torch, which takes seconds
    from src.exporting.card import write_section
    from src.exporting.source import open_source
    from src.training.precision import use_threads

    threads = use_threads(config.threads)
    with open_source(config) as source, TemporaryDirectory() as scratch:
        output = output_of(config, source.experiment)
        staging = Path(scratch) / output.name
        proof = build(config, source, staging, threads)
        with atomic_write(output, size_of(staging)) as temporary:
            shutil.copytree(staging, temporary)
        if source.experiment:
            write_section(source.experiment, source.digest, output)
        _record(config, source, output)
    log_table(f"{relative_to_cwd(output)}: {config.model} as {output.name}", proof.rows())
    table = {f"{dim} dimensions": str(estimate) for dim, estimate in proof.estimates.items()}
    log_table(f"{proof.metric} of the model in torch by number of dimensions", table)
    return output


def build(config: ExportConfig, source: "Source", folder: Path, threads: int) -> "Proof":
    """Write the export into a new folder, compare it with the model in torch, and return the comparison.

    Raises `UserError` if the model cannot be exported, or loses too much.
    """
    from src.encoder.inputs import token_limit
    from src.encoder.prompts import column_prompts
    from src.exporting.conversion import write_graph_files
    from src.exporting.graph import check_exportable
    from src.exporting.proof import check_proof, compare, summary
    from src.exporting.runtime import load_export

    encoder = source.encoder
    check_exportable(encoder)
    dims, encoder.truncate_dim = config.export.dims or encoder.truncate_dim, None
    size = int(encoder.get_embedding_dimension() or 0)
    if dims and dims > size:
        raise UserError(f"export.dims must be at most {size}, the dimensions of this model, found {dims}: lower it.")
    folder.mkdir()
    prompts, longest = dict(encoder.prompts), token_limit(encoder)
    metadata = {"prompts": json.dumps(prompts, ensure_ascii=False), "precision": config.precision}
    with console.status(f"Exporting to {config.format} in {config.precision}"):
        write_graph_files(encoder, folder, config.format, config.precision, dims, metadata)
        save_tokenizer(encoder.tokenizer, longest, folder / TOKENIZER)
    info = ExportInfo(
        format=config.format,
        precision=config.precision,
        dimensions=dims or size,
        max_length=longest,
        prompts=prompts,
        default_prompt_name=encoder.default_prompt_name,
        column_prompts=column_prompts(encoder),
        model=config.model,
        digest=source.digest,
        files=file_digests(folder),
        proof={},
    )
    info.save(folder)
    with console.status("Comparing with the model in torch"):
        proof = compare(encoder, load_export(folder), source.evaluated, dims, threads)
    check_proof(proof, config.precision, config.export.tolerance, f"{info.name} of {config.model}")
    info = replace(info, proof=asdict(proof))
    info.save(folder)
    write_readme(folder, info, summary(proof))
    return proof


def _record(config: ExportConfig, source: "Source", output: Path) -> None:
    """Record the export in the run of its model, if that is known; a warning says what could not be recorded."""
    if source.result is None:
        return
    from src.tracking import record_export  # imports mlflow, which takes seconds

    result = source.result
    folder = source.experiment or output.parent
    problem = record_export(output, folder, result.experiment, result.run_id, config.tracking)
    if problem:
        log.warning(problem)
