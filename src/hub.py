"""Whether the Hugging Face Hub can be reached."""

import os
import urllib.error
import urllib.request
from threading import Thread

BLOCKED = {403, 407}
"""What a proxy answers that lets nobody through."""
OFFLINE_VALUES = {"1", "ON", "YES", "TRUE"}  # as in huggingface_hub.constants


def hub_reachable(timeout: float = 5.0) -> bool:
    """Return whether the Hub answers within `timeout` seconds.

    Honours `HF_HUB_OFFLINE` (then False at once), `HF_ENDPOINT` and the proxy variables.
    """
    if os.environ.get("HF_HUB_OFFLINE", "").upper() in OFFLINE_VALUES:
        return False
    answers: list[bool] = []
    # Name resolution has no time limit of its own, so the probe is left behind when it takes longer.
    probe = Thread(target=lambda: answers.append(_answers(timeout)), daemon=True)
    probe.start()
    probe.join(timeout)
    return bool(answers) and answers[0]


def _answers(timeout: float) -> bool:
    endpoint = os.environ.get("HF_ENDPOINT", "https://huggingface.co")
    try:
        urllib.request.urlopen(urllib.request.Request(endpoint, method="HEAD"), timeout=timeout).close()
    except urllib.error.HTTPError as error:
        return error.code < 500 and error.code not in BLOCKED
    except (OSError, ValueError):
        return False
    return True
