"""Choice of the weight of a trained model against its base encoder, on examples that are never reported.

Each set of the suite has a part of its train split for the choice, while its dev or test split is reported; so has the
experiment itself. Rows with a sentence of anything that is reported are left out, and so are sets whose train split the
model was trained on. On the experiment's own part, which it was trained on, the model scores too high: so this part
does not choose the best weight, but only refuses those that keep too little of the gain. As merged weights remember
less of it, they keep a smaller share of the gain there than on new examples.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd
from sentence_transformers import SentenceTransformer

from src.config.evaluation import MergeConfig
from src.data import ExampleSet, digest, split_off
from src.data.sentences import Digests, rows_seen, sentence_digests
from src.encoder.averaging import weighted_mean
from src.suite.evaluation import score
from src.suite.sets import LoadedSet
from src.utils.errors import UserError

WEIGHTS = np.linspace(0, 1, 11).round(1).tolist()
"""Weights that are tried, of which 0 is the base encoder and 1 the model."""
OWN = "own train"
OTHERS = "mean of the others"
KEPT = "gain kept"
MOST_SEEN = 0.1
"""Share of a set's rows with a training sentence of the model from which the set is not used for the choice."""
LEAST = 10
"""Number of examples with which a set is used for the choice."""


@dataclass(frozen=True)
class Choice:
    """The chosen weight, and what it was chosen by."""

    weight: float
    table: pd.DataFrame
    """For each weight the leading metric on each set, the mean of those but `OWN`, and the share of the gain kept."""


def parts_to_choose_on(
    examples: ExampleSet, sets: Sequence[LoadedSet], seen: Digests, config: MergeConfig
) -> list[LoadedSet]:
    """Return the part of the experiment's train split, named `OWN`, and one of each usable set of the suite.

    `seen`: digests of the sentences that the model was trained on.

    Raises `UserError` if no set of the suite is usable.
    """
    own_splits = [examples.reported, *(each.dev for each in examples.sets.values())]
    reported = sentence_digests([*own_splits, *(one.examples for one in sets)])
    own = _part(LoadedSet(OWN, "train", examples, trains=True), reported, config)
    distinct = {digest(one.data.train): one for one in sets if one.trains}
    others = [part for one in distinct.values() if _is_new(part := _part(one, reported, config), seen)]
    if len(own.examples) < LEAST or not others:
        raise UserError(
            "weight=auto: expected a train split of the experiment and of at least one set of the suite that the model"
            f" was not trained on, found {len(own.examples)} examples and those of {[one.name for one in others]}: give"
            " the weight as a number."
        )
    return [own, *others]


def _is_new(part: LoadedSet, seen: Digests) -> bool:
    return len(part.examples) >= LEAST and float(rows_seen(part.examples, seen).mean()) <= MOST_SEEN


def _part(one: LoadedSet, reported: Digests, config: MergeConfig) -> LoadedSet:
    """Return a set with a part of its train split, without the rows that have a reported sentence.

    A train split with too few examples, or whose examples all share texts, gives none.
    """
    fraction = min(0.5, config.choose_pairs / len(one.data.train))
    try:
        _, part = split_off(one.data.train, fraction, config.seed, "choose_pairs")
    except UserError:
        part = one.data.train.select([])
    kept = np.flatnonzero(~rows_seen(part, reported)).tolist()
    return replace(one, split="train", data=replace(one.data, train=part.select(kept)))


def choose_weight(
    model: SentenceTransformer,
    base: SentenceTransformer,
    parts: Sequence[LoadedSet],
    precision: str,
    config: MergeConfig,
) -> Choice:
    """Return the weight with the highest mean over the other sets of those that keep `config.keep` of the gain.

    Of equal ones it is the highest. `parts`: as `parts_to_choose_on` returns them.

    Raises `UserError` if a metric is not defined, as of similarities that are all the same.
    """
    rows = []
    for weight in WEIGHTS:
        scored = score(merge(model, base, weight), parts, config.batch_size, precision)
        rows.append({name: evaluation.leading for name, evaluation in scored.items()})
    table = pd.DataFrame(rows, index=pd.Index(WEIGHTS, name="weight"))
    if undefined := [name for name in table if table[name].isna().any()]:
        raise UserError(
            f"weight=auto: expected a metric on the part of every train split, found none on {undefined}: leave them"
            " out of suite.sets, or give the weight as a number."
        )
    gain = table[OWN] - table[OWN].iloc[0]
    kept = gain / gain.iloc[-1] if gain.iloc[-1] > 0 else pd.Series(1.0, table.index)
    table[OTHERS] = table.drop(columns=OWN).mean(axis=1)
    table[KEPT] = kept
    allowed = table[OTHERS][kept >= config.keep]
    return Choice(float(allowed[allowed == allowed.max()].index[-1]), table)


def merge(model: SentenceTransformer, base: SentenceTransformer, weight: float) -> SentenceTransformer:
    """Return the encoder with `weight` times the weights of the model and the rest of the base encoder."""
    if weight in (0, 1):
        return model if weight else base
    return weighted_mean([("model", model), ("base", base)], [weight, 1 - weight])
