"""From an encoder to the graph files of an export folder: ONNX first, then the precision, then the format."""

from collections.abc import Callable, Mapping
from pathlib import Path
from tempfile import TemporaryDirectory

import onnx
from sentence_transformers import SentenceTransformer

from src.exporting.folder import GRAPHS
from src.exporting.graph import write_graph
from src.exporting.openvino import convert
from src.exporting.quantization import quantize_dynamically, store_fp16, store_int8

STORES: dict[tuple[str, str], Callable[[Path, Path], None]] = {
    ("onnx", "int8"): quantize_dynamically,
    ("onnx", "fp16"): store_fp16,
    ("openvino", "int8"): store_int8,
}
"""Function that writes a graph in float32 with smaller weights, by format and precision; OpenVINO's own makes fp16."""


def write_graph_files(
    encoder: SentenceTransformer,
    folder: Path,
    format: str,
    precision: str,
    dims: int | None,
    metadata: Mapping[str, str],
) -> None:
    """Write the graph of an encoder into a folder, with the metadata in it; the same encoder gives the same files.

    Raises `UserError` if its architecture cannot be exported.
    """
    target = folder / GRAPHS[format][0]
    with TemporaryDirectory() as scratch:
        graph, smaller = Path(scratch) / "plain.onnx", Path(scratch) / "stored.onnx"
        write_graph(encoder, graph, dims)
        if store := STORES.get((format, precision)):
            store(graph, smaller)
            graph = smaller
        if format == "openvino":
            convert(graph, target, precision == "fp16", metadata)
            return
        model = onnx.load(graph)
        onnx.helper.set_model_props(model, dict(metadata))
        onnx.save(model, target)
