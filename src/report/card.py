"""The model card, written by the library's own generator from what it is told here."""

from sentence_transformers import SentenceTransformer, SentenceTransformerModelCardData

from src.data import PairData
from src.encoder import BaseModel


def describe(encoder: SentenceTransformer, name: str, pairs: PairData, base: BaseModel) -> None:
    """Tell the encoder's model card what the library cannot know offline: data sets, base model, language, licence."""
    origin = pairs.origin
    card = SentenceTransformerModelCardData(
        language=origin.language,
        license=base.license,
        model_name=f"{name}: {base.name} fine-tuned on {origin.name}",
        train_datasets=[{"name": origin.name}],
        eval_datasets=[{"name": origin.name}],
        local_files_only=True,
        generate_widget_examples=False,
    )
    card.base_model, card.base_model_revision = base.name, base.revision
    card.register_model(encoder)
    encoder.model_card_data = card
