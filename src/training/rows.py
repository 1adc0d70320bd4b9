"""Sentences side by side in rows of one length."""

STEP = 16
"""The length of a row is a multiple of it, since the CPU's bf16 softmax is six times slower on other lengths."""
SHORTEST, LONGEST = 64, 128
"""Range of the lengths tried, unless a sentence is longer. Shorter rows save next to nothing, and each further shape
costs the matrix library a kernel to compile."""
BALANCE = 150
"""About the length of a row at which attention costs as much for a token as everything else does (384 dimensions)."""


def pack(lengths: list[int]) -> tuple[list[list[int]], int]:
    """Return the sentences of each row, as indices into `lengths`, and the length of a row, of which the cheapest."""
    shortest = max(SHORTEST, -(-max(lengths) // STEP) * STEP)
    widths = range(shortest, max(shortest, LONGEST) + 1, STEP)
    packed = {width: fill_rows(lengths, width) for width in widths}
    cheapest = min(packed, key=lambda width: len(packed[width]) * width * (BALANCE + width))
    return packed[cheapest], cheapest


def fill_rows(lengths: list[int], width: int) -> list[list[int]]:
    """Return the sentences of each row: the longest first, each where it leaves the least room (best fit decreasing).

    That makes at most 11/9 as many rows as there have to be, and a few more (Johnson, 1973).
    """
    rows: list[list[int]] = []
    room: list[int] = []
    for index in sorted(range(len(lengths)), key=lambda index: -lengths[index]):
        fitting = [row for row, left in enumerate(room) if left >= lengths[index]]
        if not fitting:
            fitting = [len(rows)]
            rows.append([])
            room.append(width)
        best = min(fitting, key=room.__getitem__)
        rows[best].append(index)
        room[best] -= lengths[index]
    return rows
