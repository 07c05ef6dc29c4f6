"""What a validation run is asked for."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Final

from coordspec.checks.finding import CoordSpace
from coordspec.contracts import rule, rule_book
from coordspec.errors import Severity
from coordspec.jsonl.inputs import STDIN

MAX_LINE_BYTES: Final[int] = rule("too-long").params["max_line_bytes"]
MAX_LISTED: Final = 1000


@dataclass(frozen=True, slots=True)
class ImageCheck:
    """Look at image files: with ``decode`` at every pixel of them, else at their headers.

    They stand below ``root``; None is the folder of each JSONL file.
    """

    root: Path | None = None
    decode: bool = False


@dataclass(frozen=True, slots=True)
class Options:
    """How lines are checked. Every worker gets the same object.

    ``rules`` are the names of the rules that count; ``strict`` makes warnings errors; at most ``max_listed``
    findings of one rule are kept of one file.
    """

    space: CoordSpace = CoordSpace.NORM1000
    strict: bool = False
    rules: frozenset[str] = field(default_factory=lambda: frozenset(rule_book().about("data").by_name))
    max_line_bytes: int = MAX_LINE_BYTES
    max_listed: int = MAX_LISTED
    images: ImageCheck | None = None

    def for_file(self, path: str) -> Options:
        """The options for one file: where no image root was given, it is the file's folder."""
        if self.images is None or self.images.root is not None:
            return self
        root = Path() if path == STDIN else Path(path).parent
        return replace(self, images=replace(self.images, root=root))

    def severity(self, name: str) -> Severity:
        """The severity of a rule in this run."""
        severity = rule(name).severity
        return Severity.ERROR if self.strict and severity is Severity.WARNING else severity
