"""Send what runs recorded while their store was away: python -m src.sync [FOLDER …], by default all of experiments/."""

import sys
from pathlib import Path

from src.entry import one_sentence
from src.errors import UserError, in_short
from src.report.console import console
from src.tracking import Delivery, deliver


def run(folders: list[Path]) -> list[Delivery]:
    """Send all journals below the folders, print what became of each, and return that.

    Raises:
        UserError: a folder does not exist, or a store has not taken all.

    """
    missing = [folder for folder in folders if not folder.is_dir()]
    if missing:
        raise UserError(f"{missing[0]}: expected the folder of an experiment, found none: name another one.")
    deliveries = []
    for folder in folders:
        for delivery in deliver(folder):
            deliveries.append(delivery)
            console.print(line(delivery), soft_wrap=True)
    if not deliveries:
        console.print("Nothing waits to be sent.")
    behind = [delivery for delivery in deliveries if delivery.left]
    if behind:
        why = in_short(behind[0].problem, 300)
        raise UserError(
            f"expected stores that take all entries, found {sum(one.left for one in behind)} that still wait ({why}): "
            "give the same command again once the store answers."
        )
    return deliveries


def line(delivery: Delivery) -> str:
    """Return what became of a journal."""
    if delivery.busy:
        return f"{delivery.folder}: a training is at work there and sends its entries itself"
    told = f"{delivery.folder}: run {delivery.run_id}, {delivery.sent} entries sent, {delivery.left} left"
    return told if delivery.ended else f"{told}; it was cut off: the same training command goes on with it"


def main(arguments: list[str]) -> None:
    """Run the command line."""
    with one_sentence():
        if any(argument.startswith("-") for argument in arguments):
            raise UserError("expected python -m src.sync [FOLDER …]: name folders of experiments, or none for all.")
        run([Path(argument) for argument in arguments or ["experiments"]])


if __name__ == "__main__":
    main(sys.argv[1:])
