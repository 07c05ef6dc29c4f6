"""A uniform sample of a file's lines, in one pass and with memory for the sample alone."""

from __future__ import annotations

import math
import random

from coordspec.jsonl.read import Line, read_lines


def sample_lines(path: str, size: int, seed: int, max_line_bytes: int) -> list[Line]:
    """``size`` lines of a file, each equally likely, in file order.

    The same seed gives the same lines. A file of fewer lines is taken whole. Algorithm L of Li, "Reservoir-Sampling
    Algorithms of Time Complexity O(n(1+log(N/n)))", ACM TOMS 20 (1994).

    Raises:
        InputError: the file cannot be read.
    """
    rng = random.Random(seed)  # noqa: S311 (a sample, not a secret)
    chosen: list[Line] = []
    weight, wanted = 1.0, size
    for total, line in enumerate(read_lines(path, max_line_bytes)):
        if total < size:
            chosen.append(line)
        elif total == wanted:
            chosen[rng.randrange(size)] = line
        if total >= size - 1 and total in (size - 1, wanted):
            weight *= math.exp(math.log(1.0 - rng.random()) / size)
            wanted = total + 1 + math.floor(math.log(1.0 - rng.random()) / math.log1p(-weight))
    return sorted(chosen, key=lambda line: line.number)
