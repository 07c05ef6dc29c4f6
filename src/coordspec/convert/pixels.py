"""What a source of annotations is read into: images and objects in pixels, each knowing its place in the source."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final

from coordspec.checks.finding import Finding
from coordspec.contracts import rule
from coordspec.errors import InputError
from coordspec.findings.visible import visible

MAX_SIDE: Final = 2**31 - 1
"""The longest image side that is taken for one, in pixels (PNG's limit); a larger number is a fault of the source."""


class SourceError(InputError):
    """A place in a source of annotations that cannot be converted; ``subject`` is the file and the place in it.

    Both texts take names and values of the source, and are made safe to show.
    """

    def __init__(self, subject: str, reason: str) -> None:
        super().__init__(visible(subject), visible(reason))


def refuse(findings: Iterable[Finding], where: str) -> None:
    """Raise SourceError for the first finding, if there is one, in the words of its rule."""
    for finding in findings:
        broken = rule(finding.rule)
        raise SourceError(where, f"{broken.message.format_map(finding.values)} ({broken.code})")


@dataclass(frozen=True, slots=True)
class PixelObject:
    """One annotated object.

    ``box`` holds the corners ``x1, y1, x2, y2`` in pixels, finite and not inverted. ``parts`` are the flat polygons of
    its outline, empty where the source has none or none was asked for. ``where`` is the object's place in the source.
    """

    desc: str
    box: tuple[float, ...]
    where: str
    parts: Sequence[tuple[float, ...]] = ()
    crowd: bool = False


@dataclass(frozen=True, slots=True)
class PixelImage:
    """One image with its objects in the order of the source; ``width`` and ``height`` in pixels, 1 to ``MAX_SIDE``."""

    path: str
    width: int
    height: int
    objects: Sequence[PixelObject]
    where: str


def side_fault(name: str, side: int) -> str | None:
    """What is wrong with ``side`` as an image's width or height (``name``), or None."""
    if side < 1:
        return f"{name} is {side}, and an image has at least 1 pixel"
    if side > MAX_SIDE:
        return f"{name} is above {MAX_SIDE}, which no image is"
    return None
