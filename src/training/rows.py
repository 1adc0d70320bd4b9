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
    """Return the sentences of each row: the longest that is left with those that leave the least room beside it.

    Seldom a row more than there have to be (minimum bin slack; Gupta & Ho, 1999).
    """
    left: dict[int, list[int]] = {length: [] for length in sorted(lengths, reverse=True)}
    for index, length in enumerate(lengths):
        left[length].append(index)
    rows = []
    while left:
        longest = next(iter(left))
        first, room = left[longest].pop(0), width - longest
        # of each length as many as could fit: no sum is missed, and a large batch costs little
        candidates = [index for length, same in left.items() for index in same[: room // length]]
        rows.append([first, *fullest(candidates, lengths, room)])
        for index in rows[-1][1:]:
            left[lengths[index]].remove(index)
        left = {length: same for length, same in left.items() if same}
    return rows


def fullest(candidates: list[int], lengths: list[int], room: int) -> list[int]:
    """Return those of the candidates whose lengths add up to the most that fits into the room, the first preferred."""
    sums = [1]  # bit s of sums[n] tells whether some of the first n candidates add up to s
    for index in candidates:
        sums.append((sums[-1] | sums[-1] << lengths[index]) & (2 << room) - 1)
        if sums[-1] >> room:
            break
    total = sums[-1].bit_length() - 1
    chosen = []
    for count in range(len(sums) - 1, 0, -1):
        if not sums[count - 1] >> total & 1:  # not without this one
            chosen.append(candidates[count - 1])
            total -= lengths[candidates[count - 1]]
    return chosen
