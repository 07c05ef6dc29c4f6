"""Contract files and prediction files to tasks of Label Studio.

Source of the format: the pages "Import pre-annotated data" and "Export annotations" of Label Studio
(https://labelstud.io/guide/). Coordinates are per cent of the image's width and height, from 0 to 100.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import quote
from xml.sax.saxutils import quoteattr

from coordspec.evaluate.join import Joined
from coordspec.export.counts import LabelStudioCounts
from coordspec.export.pixels import Located, corners, has_more, outline
from coordspec.predictions.record import PredictedObject, Prediction
from coordspec.record import Record

LOCAL_FILES: Final = "/data/local-files/?d="
"""What a path starts with that Label Studio serves from its local storage."""
_IMAGE: Final = "image"
_CONTROLS: Final = {"rectanglelabels": ("label", "RectangleLabels"), "polygonlabels": ("outline", "PolygonLabels")}
"""By the type of a region: the name and the tag of its control in the labeling config."""
_NO_XML: Final = re.compile(r"[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
_PERCENT: Final = 100


@dataclass(frozen=True, slots=True)
class ExportSample:
    """One image with what is said about it: by people, by a model, or by both."""

    record: Record | None
    prediction: Prediction | None

    @property
    def named(self) -> Record | Prediction:
        """Whichever of the two says what the image is."""
        named = self.record or self.prediction
        assert named is not None
        return named


def samples_of(joined: Joined, counts: LabelStudioCounts) -> list[ExportSample]:
    """Records, each with its prediction if it has one."""
    counts.strays = len(joined.strays)
    counts.unpredicted = sum(len(record.images) == 1 for record in joined.missing)
    return [ExportSample(*pair) for pair in zip(joined.records, joined.predictions, strict=True)]


def label_studio_tasks(
    samples: Sequence[ExportSample], counts: LabelStudioCounts, url_prefix: str = LOCAL_FILES
) -> Iterator[dict[str, Any]]:
    """One task for each sample of one image, annotations from its record and predictions from its prediction."""
    for sample in samples:
        named = sample.named
        if len(named.images) > 1:
            counts.several_images += 1
            continue
        counts.tasks += 1
        task: dict[str, Any] = {"data": {_IMAGE: url_prefix + quote(named.images[0])}}
        if sample.record is not None:
            task["annotations"] = [_annotation(sample.record, counts)]
        if sample.prediction is not None:
            task["predictions"] = [_prediction(sample.prediction, counts)]
        yield task


def _annotation(record: Record, counts: LabelStudioCounts) -> dict[str, Any]:
    counts.annotated += len(record.objects)
    counts.summaries += record.summary is not None
    counts.metadata += record.metadata is not None
    sides = record.width, record.height
    return {"result": [_region(f"gt{i}", item, sides) for i, item in enumerate(record.objects, 1)]}


def _prediction(item: Prediction, counts: LabelStudioCounts) -> dict[str, Any]:
    counts.predicted += len(item.objects)
    counts.unscored += sum(found.score is None for found in item.objects)
    counts.dropped += len(item.dropped)
    counts.part_scores += sum(map(has_more, item.objects))
    sides = item.width, item.height
    regions = [_scored(f"p{i}", found, sides) for i, found in enumerate(item.objects, 1)]
    return {**({} if item.run is None else {"model_version": item.run}), "result": regions}


def _scored(name: str, item: PredictedObject, sides: tuple[int, int]) -> dict[str, Any]:
    region = _region(name, item, sides)
    return region if item.score is None else {**region, "score": item.score}


def _region(name: str, item: Located, sides: tuple[int, int]) -> dict[str, Any]:
    poly = outline(item, sides)
    kind = "rectanglelabels" if poly is None else "polygonlabels"
    value: dict[str, Any]
    if poly is None:
        x1, y1, x2, y2 = _per_cent(corners(item, sides), sides)
        value = {"x": x1, "y": y1, "width": x2 - x1, "height": y2 - y1, "rotation": 0}
    else:
        flat = _per_cent(poly, sides)
        value = {"points": [list(point) for point in zip(flat[0::2], flat[1::2], strict=True)], "closed": True}
    return {
        "id": name,
        "type": kind,
        "from_name": _CONTROLS[kind][0],
        "to_name": _IMAGE,
        "original_width": sides[0],
        "original_height": sides[1],
        "image_rotation": 0,
        "value": {**value, kind: [item.desc]},
    }


def _per_cent(flat: Sequence[float], sides: tuple[int, int]) -> list[float]:
    return [_PERCENT * pixel / sides[i % 2] for i, pixel in enumerate(flat)]


def labeling_config(samples: Sequence[ExportSample], counts: LabelStudioCounts) -> str:
    """The XML that a project needs to show the tasks: an image, and the labels of boxes and of outlines.

    Every desc stands in it once for each kind, sorted. A desc with a character that XML cannot hold is left out.
    """
    used: dict[str, set[str]] = {kind: set() for kind in _CONTROLS}
    for sample in samples:
        for side in (sample.record, sample.prediction):
            for item in side.objects if side is not None else ():
                used["rectanglelabels" if item.poly is None else "polygonlabels"].add(item.desc)
    descs = {desc for listed in used.values() for desc in listed}
    counts.no_label = sum(_NO_XML.search(desc) is not None for desc in descs)
    lines = ["<View>", f'  <Image name="{_IMAGE}" value="${_IMAGE}"/>']
    for kind, (name, tag) in _CONTROLS.items():
        labels = [f"    <Label value={quoteattr(desc)}/>" for desc in sorted(used[kind]) if not _NO_XML.search(desc)]
        if labels:
            lines += [f'  <{tag} name="{name}" toName="{_IMAGE}">', *labels, f"  </{tag}>"]
    return "\n".join([*lines, "</View>", ""])
