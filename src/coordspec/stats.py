"""What contract files hold, in numbers: one pass, and memory that does not grow with the files."""

from __future__ import annotations

from bisect import bisect_right
from collections import Counter
from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence
from fractions import Fraction
from itertools import pairwise
from typing import Any, Final, Generic, TypeVar

from coordspec.boxes import enclosing_box
from coordspec.checks.finding import CoordSpace, Finding
from coordspec.checks.geometry import Number, coord_number, flat_poly
from coordspec.checks.record import check_record
from coordspec.contracts import record_contract, rule
from coordspec.coords import MAX_BIN
from coordspec.errors import Severity
from coordspec.jsonl.parse import parse_line
from coordspec.jsonl.read import read_lines

K = TypeVar("K", bound=Hashable)

MAX_DISTINCT: Final = 100_000
MAX_DISTINCT_CHARS: Final = 32_000_000
TOP_DESCS: Final = 20
TOP_SIZES: Final = 5

OBJECT_STEPS: Final = (0, 1, 2, 3, 6, 11, 21, 51, 101)
"""Where the buckets of objects per record start; the last one is open."""
SHARE_STEPS: Final = (0.0, 0.0001, 0.0003, 0.001, 0.003, 0.01, 0.03, 0.1, 0.3, 1.0)
"""Borders of the buckets of a box's share of its image's area; a bucket takes its lower border."""
_SHARES: Final = tuple(Fraction(str(step)) for step in SHARE_STEPS)

PIXEL_CLASSES: Final = ("small", "medium", "large")
PIXEL_STEPS: Final = (32**2, 96**2)
"""COCO's classes of box areas: small below 32 x 32 pixels, large from 96 x 96."""
_GEOMETRIES: Final = record_contract().geometries
_FORMS: Final[Mapping[type, str]] = {float: "float", int: "int", str: "token"}


class CappedCounter(Generic[K]):
    """Counts by key, of the first ``MAX_DISTINCT`` keys; ``left_out`` says how often others came.

    Keys that are text also stop being added when together they are longer than ``MAX_DISTINCT_CHARS``.
    """

    def __init__(self) -> None:
        self.counts: Counter[K] = Counter()
        self.left_out = 0
        self._chars = 0

    def add(self, key: K) -> None:
        if key not in self.counts:
            chars = len(key) if isinstance(key, str) else 0
            if len(self.counts) >= MAX_DISTINCT or self._chars + chars > MAX_DISTINCT_CHARS:
                self.left_out += 1
                return
            self._chars += chars
        self.counts[key] += 1

    def top(self, number: int) -> list[tuple[K, int]]:
        """The most frequent keys with their counts; keys of the same count in their own order."""
        return sorted(self.counts.items(), key=lambda item: (-item[1], item[0]))[:number]


class Stats:
    """The counts of everything that was added. ``value`` gives them as JSON and says what each one means."""

    def __init__(self, space: CoordSpace = CoordSpace.NORM1000) -> None:
        self.space = space
        self.records = self.unusable = self.blank = self.objects = self.zero_area = 0
        self.per_record = [0] * len(OBJECT_STEPS)
        self.fewest: int | None = None
        self.most: int | None = None
        self.geometry: Counter[str] = Counter()
        self.form: Counter[str] = Counter()
        self.descs: CappedCounter[str] = CappedCounter()
        self.sizes: CappedCounter[tuple[int, int]] = CappedCounter()
        self.width_range: tuple[int, int] | None = None
        self.height_range: tuple[int, int] | None = None
        self.shares = [0] * (len(SHARE_STEPS) - 1)
        self.pixels: Counter[str] = Counter()

    def add_line(self, data: bytes, length: int, max_line_bytes: int) -> None:
        """Count one line; ``length`` is its real length where the reader cut it."""
        parsed = parse_line(data, length, max_line_bytes)
        findings = [fault.finding for fault in parsed.faults]
        if not _broken(findings) and not _broken(check_record(parsed.value, self.space)):
            self.add_record(parsed.value)
            return
        self.unusable += 1
        self.blank += any(finding.rule == "blank-line" for finding in findings)

    def add_record(self, record: Mapping[str, Any]) -> None:
        """Count one record that breaks no rule at error level."""
        objects, width, height = record["objects"], record["width"], record["height"]
        count = len(objects)
        self.records += 1
        self.objects += count
        self.per_record[bisect_right(OBJECT_STEPS, count) - 1] += 1
        self.fewest = count if self.fewest is None else min(self.fewest, count)
        self.most = count if self.most is None else max(self.most, count)
        self.sizes.add((width, height))
        self.width_range = _widened(self.width_range, width)
        self.height_range = _widened(self.height_range, height)
        for item in objects:
            self._add_object(item, width, height)

    def _add_object(self, item: Mapping[str, Any], width: int, height: int) -> None:
        self.descs.add(item["desc"])
        name = next(name for name in _GEOMETRIES if name in item)
        self.geometry[name] += 1
        coordinates = flat_poly(item[name])[0]
        kinds = {type(value) for value in coordinates}
        self.form[next(form for kind, form in _FORMS.items() if kind in kinds)] += 1
        numbers = [number for value in coordinates if (number := coord_number(value)) is not None]
        share = self._share(numbers, width, height)
        self.zero_area += share == 0
        self.shares[min(bisect_right(_SHARES, share), len(self.shares)) - 1] += 1
        self.pixels[PIXEL_CLASSES[bisect_right(PIXEL_STEPS, share * width * height)]] += 1

    def _share(self, numbers: Sequence[Number], width: int, height: int) -> Fraction:
        """The enclosing box's share of the image's area. Exact: sides may be integers that no float holds."""
        x1, y1, x2, y2 = (Fraction(number) for number in enclosing_box(numbers))
        frame = (MAX_BIN, MAX_BIN) if self.space is CoordSpace.NORM1000 else (width, height)
        return (x2 - x1) * (y2 - y1) / (frame[0] * frame[1])

    def value(self) -> dict[str, Any]:
        """The statistics as a JSON value. Keys are stable; new ones may be added.

        - ``coord_space``: what the numbers were read as, ``norm1000`` or ``pixel``
        - ``records``: lines that hold a record without a finding at error level; all that follows is about them
        - ``unusable``: lines that were left out, ``blank`` of them blank
        - ``negatives``: records without objects; ``objects``: objects of all records
        - ``objects_per_record``: ``min``, ``mean``, ``max`` (null without records) and ``histogram``, a list of
          ``{from, to, records}``, both ends included, ``to`` null in the last
        - ``geometry``: objects by geometry; ``coord_form``: objects by how their coordinates are written, ``int``,
          ``token`` or ``float`` (a float among them)
        - ``descs``: ``distinct`` and the ``top`` 20 as ``{desc, count}``; ``left_out`` is the number of objects whose
          desc came after 100,000 others (or 32 million characters) and is in neither
        - ``box_area_share``: enclosing boxes by their share of the image's area, ``{from, to, boxes}``, ``from``
          included; the last one includes 1. ``zero_area`` boxes are in the first
        - ``box_pixel_area``: the same boxes by area in pixels, COCO's ``small``, ``medium`` and ``large``
        - ``image_size``: ``width`` and ``height`` as ``{min, max}``, ``distinct`` sizes, the ``top`` 5 as
          ``{width, height, records}``, and ``left_out`` as for descs
        """
        return {
            "coord_space": self.space.value,
            "records": self.records,
            "unusable": self.unusable,
            "blank": self.blank,
            "negatives": self.per_record[0],
            "objects": self.objects,
            "objects_per_record": self._per_record(),
            "geometry": {name: self.geometry[name] for name in _GEOMETRIES},
            "coord_form": {form: self.form[form] for form in _FORMS.values()},
            "descs": {
                "distinct": len(self.descs.counts),
                "left_out": self.descs.left_out,
                "top": [{"desc": desc, "count": count} for desc, count in self.descs.top(TOP_DESCS)],
            },
            "zero_area": self.zero_area,
            "box_area_share": [
                {"from": low, "to": high, "boxes": boxes}
                for (low, high), boxes in zip(pairwise(SHARE_STEPS), self.shares, strict=True)
            ],
            "box_pixel_area": {name: self.pixels[name] for name in PIXEL_CLASSES},
            "image_size": self._image_size(),
        }

    def _per_record(self) -> dict[str, Any]:
        ends = [*(start - 1 for start in OBJECT_STEPS[1:]), None]
        buckets = zip(OBJECT_STEPS, ends, self.per_record, strict=True)
        mean = round(self.objects / self.records, 3) if self.records else None
        histogram = [{"from": start, "to": end, "records": records} for start, end, records in buckets]
        return {"min": self.fewest, "mean": mean, "max": self.most, "histogram": histogram}

    def _image_size(self) -> dict[str, Any]:
        top = [{"width": w, "height": h, "records": count} for (w, h), count in self.sizes.top(TOP_SIZES)]
        return {
            "width": _range_value(self.width_range),
            "height": _range_value(self.height_range),
            "distinct": len(self.sizes.counts),
            "left_out": self.sizes.left_out,
            "top": top,
        }


def collect(
    paths: Iterable[str], space: CoordSpace, max_line_bytes: int, on_read: Callable[[int], object] = lambda _: None
) -> Stats:
    """The statistics of some files taken together; lines longer than ``max_line_bytes`` are unusable.

    ``on_read`` is told the bytes of each line.

    Raises:
        InputError: a file cannot be read.
    """
    stats = Stats(space)
    for path in paths:
        for line in read_lines(path, max_line_bytes):
            stats.add_line(line.data, line.length, max_line_bytes)
            on_read(line.length + 1)
    return stats


def _broken(findings: Iterable[Finding]) -> bool:
    return any(rule(finding.rule).severity is Severity.ERROR for finding in findings)


def _widened(known: tuple[int, int] | None, value: int) -> tuple[int, int]:
    return (value, value) if known is None else (min(known[0], value), max(known[1], value))


def _range_value(known: tuple[int, int] | None) -> dict[str, int | None]:
    low, high = known or (None, None)
    return {"min": low, "max": high}
