"""What is known of a part of a file, and how two neighbouring parts make one."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field

from coordspec.validate.reference import Located
from coordspec.validate.tally import BoxTally


@dataclass(slots=True)
class Summary:
    """Counts and kept findings of some consecutive lines. Line numbers count from the first of them.

    ``invalid`` are lines with a finding at error level; ``counts`` are findings by rule, complete; ``kept`` holds the
    first findings of each rule, at most the run's ``max_listed``, in the order of their places.
    """

    lines: int = 0
    invalid: int = 0
    counts: Counter[str] = field(default_factory=Counter)
    kept: list[Located] = field(default_factory=list)
    boxes: BoxTally = field(default_factory=BoxTally)

    def then(self, later: Summary, max_listed: int) -> Summary:
        """The summary of this part and the one right behind it. Associative; ``Summary()`` is neutral."""
        return Summary(
            lines=self.lines + later.lines,
            invalid=self.invalid + later.invalid,
            counts=self.counts + later.counts,
            kept=self.kept + self._room(later, max_listed),
            boxes=self.boxes + later.boxes,
        )

    def _room(self, later: Summary, max_listed: int) -> list[Located]:
        room = {name: max_listed - min(self.counts[name], max_listed) for name in later.counts}
        moved: list[Located] = []
        for item in later.kept:
            name = item.finding.rule
            if room[name]:
                room[name] -= 1
                moved.append(item._replace(line=self.lines + (item.line or 0)))
        return moved
