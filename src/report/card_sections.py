"""The sections of a model card that no data can fill: intended use and limits, in sentences."""

from sentence_transformers import SentenceTransformer
from sentence_transformers.sentence_transformer.modules import Pooling

from src.data import PairData

EXAMPLES = [
    "지하철역까지 걸어서 오 분이면 충분했어요.",
    "역에서 도보로 5분 거리라 편리했습니다.",
    "체크인할 때 열쇠를 찾느라 한참 걸렸어요.",
]
"""Written for this project: the pairs of other people's data sets are not quoted as examples."""
TRANSFORMERS = """\
Without sentence-transformers, mean pooling over the last hidden states gives the same embeddings:

```python
import torch
from transformers import AutoModel, AutoTokenizer

tokenizer = AutoTokenizer.from_pretrained("FOLDER_OF_THIS_MODEL")
model = AutoModel.from_pretrained("FOLDER_OF_THIS_MODEL").eval()
inputs = tokenizer(sentences, padding=True, truncation=True, max_length={max_length}, return_tensors="pt")
with torch.no_grad():
    hidden = model(**inputs).last_hidden_state
mask = inputs["attention_mask"].unsqueeze(-1)
embeddings = (hidden * mask).sum(1) / mask.sum(1)
```"""
OTHER_POOLING = (
    "The embeddings come from more than mean pooling over the last hidden states: use sentence-transformers, or rebuild"
    " the modules listed under Full Model Architecture."
)
DOWNSTREAM = """\
The model can be trained further on pairs of your own, scored from 0 (nothing in common) to 1 (the same):

```bash
python -m src.train data=pairs data.train=pairs.csv model=hub model.path=FOLDER_OF_THIS_MODEL
```"""
OUT_OF_SCOPE = """\
- **Decisions about people.** A similarity must not decide on its own who is hired, admitted, rated or refused.
- **Facts and contradictions.** The score says how alike two sentences are, not whether either is true; sentences that
  contradict each other in nearly the same words can score high.
- **Other languages.** Training pairs were in {language} only; nothing was measured in another language.
- **Long documents.** Text beyond {max_length} tokens is cut off without a warning."""
LIMITS = """\
- The model learnt one kind of text: {name}, {train:,} pairs. On other topics and styles it is unmeasured, and may be
  worse than its base model.
- The metrics above come from {reported:,} pairs of the same kind; on so few, models that differ by one or two
  hundredths in Spearman cannot be told apart.
- It inherits what its base model learnt from the web, prejudices included; none was looked for.
- Scores are relative: what counts as "similar" has to be set on pairs of your own, since a cosine is no probability."""
RECOMMENDATIONS = """\
Measure it on a hundred scored pairs of your own before relying on it, choose thresholds there, and look at the pairs it
gets most wrong: every run leaves them as `plots/worst_pairs.html`."""
GLOSSARY = """\
- **Cosine similarity:** cosine of the angle between two embeddings, from -1 to 1.
- **Spearman:** rank correlation of the cosines with the scores people gave; 1 is the same order.
- **Pearson:** linear correlation of the two.
- **STS:** semantic textual similarity, how alike two sentences are in meaning."""
AUTHORS = (
    "Written by the training itself (`python -m src.train`) from what it used and measured; nobody has edited it since."
)
CONTACT = "Whoever gave you this model: the run that made it is named in `metrics.json` next to the model's folder."


def sections(encoder: SentenceTransformer, pairs: PairData) -> dict[str, str]:
    """Return the text for every section that the library's template leaves empty, by its heading."""
    origin, max_length = pairs.origin, encoder.max_seq_length
    note = [f"- About the pairs: {origin.note}"] if origin.note else []
    limits = LIMITS.format(name=origin.name, train=len(pairs.train), reported=len(pairs.reported))
    return {
        "Direct Usage (Transformers)": TRANSFORMERS.format(max_length=max_length)
        if _pools_the_mean(encoder)
        else OTHER_POOLING,
        "Downstream Usage (Sentence Transformers)": DOWNSTREAM,
        "Out-of-Scope Use": OUT_OF_SCOPE.format(language=_language(origin.language), max_length=max_length),
        "Bias, Risks and Limitations": "\n".join([limits, *note]),
        "Recommendations": RECOMMENDATIONS,
        "Glossary": GLOSSARY,
        "Model Card Authors": AUTHORS,
        "Model Card Contact": CONTACT,
    }


def examples(pairs: PairData) -> list[str]:
    """Return three sentences that show how the model is used; two of generated pairs belong to nobody."""
    if pairs.origin.name != "project_match":
        return EXAMPLES
    first, second = pairs.dev[0], pairs.dev[1]
    return [first["sentence1"], first["sentence2"], second["sentence2"]]


def _language(code: str) -> str:
    return {"ko": "Korean", "en": "English"}.get(code, code)


def _pools_the_mean(encoder: SentenceTransformer) -> bool:
    last = encoder[-1]
    return len(encoder) == 2 and isinstance(last, Pooling) and last.pooling_mode == "mean"
