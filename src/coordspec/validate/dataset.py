"""Whole-file checks: faults that no single line shows, found from the statistics of all of them."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

from coordspec.checks.finding import CoordSpace, Finding
from coordspec.contracts import rule
from coordspec.coords import MAX_BIN
from coordspec.validate.blocks import Summary
from coordspec.validate.tally import BoxTally


def check_dataset(summary: Summary, space: CoordSpace) -> Iterator[Finding]:
    """The findings on a whole file; those on coordinates only where they should be bins."""
    if summary.lines == 0:
        yield Finding("no-records", (), {})
    if space is CoordSpace.NORM1000:
        for name, check in BOX_CHECKS.items():
            values = check(summary.boxes, rule(name).params)
            if values is not None:
                yield Finding(name, (), values)


def suspect_xywh(boxes: BoxTally, params: Mapping[str, Any]) -> Mapping[str, object] | None:
    """Corners are inverted by chance in half of all x, y, width, height, and nearly never in real corners."""
    if boxes.boxes < params["min_boxes"] or boxes.inverted < params["min_inverted_share"] * boxes.boxes:
        return None
    if boxes.misfit > params["max_misfit_share"] * boxes.inverted:
        return None
    return {"inverted": boxes.inverted, "boxes": boxes.boxes}


def suspect_pixel_coords(boxes: BoxTally, params: Mapping[str, Any]) -> Mapping[str, object] | None:
    """Bins go to 999 whatever the image's size; pixels of a small image never pass its sides."""
    if boxes.boxes < params["min_boxes"] or boxes.telling < params["min_records"] or _is_tiny(boxes):
        return None
    if boxes.outside > params["max_outside_share"] * boxes.telling:
        return None
    return {"outside": boxes.outside, "telling": boxes.telling, "maximum": MAX_BIN}


def suspect_double_normalised(boxes: BoxTally, params: Mapping[str, Any]) -> Mapping[str, object] | None:
    """Bins read as pixels are pressed against the far edge in small images, and never reach it in large ones."""
    if boxes.boxes < params["min_boxes"]:
        return None
    if _is_tiny(boxes):
        return {"reason": f"{boxes.tiny} of {boxes.boxes} boxes lie in bins 0 to {params['tiny']} and have no area"}
    if boxes.saturated >= params["min_saturated_share"] * boxes.boxes:
        return {"reason": f"{boxes.saturated} of {boxes.boxes} boxes start at the far edge, bin {MAX_BIN}"}
    inverted = boxes.inverted >= rule("suspect-xywh").params["min_inverted_share"] * boxes.boxes
    if not inverted and boxes.large >= params["min_records"] and boxes.far <= params["max_far_share"] * boxes.large:
        large = f"{boxes.large} images with sides of at least {params['large_side']} pixels"
        return {"reason": f"in {boxes.far} of {large} a box reaches beyond pixel 1000"}
    return None


def _is_tiny(boxes: BoxTally) -> bool:
    """True if unit coordinates were rounded to bins: next to all boxes are points at the origin."""
    share: float = rule("suspect-double-normalised").params["min_tiny_share"]
    return boxes.boxes > 0 and boxes.tiny >= share * boxes.boxes


BOX_CHECKS: Mapping[str, Callable[[BoxTally, Mapping[str, Any]], Mapping[str, object] | None]] = {
    "suspect-xywh": suspect_xywh,
    "suspect-pixel-coords": suspect_pixel_coords,
    "suspect-double-normalised": suspect_double_normalised,
}
