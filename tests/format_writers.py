"""What other tools would write for a scene: one small writer for each format that ``coordspec convert`` reads."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple
from xml.sax.saxutils import escape

from PIL import Image

Boxes = Sequence[tuple[str, Sequence[float]]]
"""Names with corners in pixels."""
STREET = Path(__file__).parent / "fixtures/coco_small/images/street.png"
PATH = "images/street.png"


class Scene(NamedTuple):
    """An image and its objects, corners in pixels."""

    width: int
    height: int
    boxes: Boxes


SMALL = Scene(
    101,
    51,
    [("cat", (10, 10, 40, 30)), ("traffic light", (50, 10, 70, 30)), ("<script>alert(1)</script>", (0, 0, 20, 40))],
)
"""Objects of ``street.png``, on pixels that are whole numbers."""


def image(scene: Scene) -> None:
    """The image of a scene in this folder; black, but for the one of the small scene."""
    Path("images").mkdir(exist_ok=True)
    if scene[:2] == SMALL[:2]:
        shutil.copy(STREET, PATH)
    else:
        Image.new("1", (scene.width, scene.height)).save(PATH)


def lines(*entries: Any) -> str:
    return "".join(json.dumps(entry, ensure_ascii=False) + "\n" for entry in entries)


def shares(scene: Scene, box: Sequence[float]) -> list[float]:
    """Corners as shares of width and height."""
    sides = scene.width, scene.height
    return [value / sides[i % 2] for i, value in enumerate(box)]


def yolo(scene: Scene) -> list[str]:
    names = sorted({name for name, _ in scene.boxes}) or ["nothing"]
    rows = []
    for name, box in scene.boxes:
        x1, y1, x2, y2 = shares(scene, box)
        rows.append(f"{names.index(name)} {(x1 + x2) / 2:.8f} {(y1 + y2) / 2:.8f} {x2 - x1:.8f} {y2 - y1:.8f}\n")
    Path("labels").mkdir(exist_ok=True)
    Path("labels/street.txt").write_text("".join(rows))
    Path("classes.txt").write_text("".join(f"{name}\n" for name in names), encoding="utf-8")
    return ["yolo", "."]


def voc(scene: Scene) -> list[str]:
    """Pixels from 1 if every box covers one, otherwise from 0: from 1 a box ends with its last pixel."""
    objects = ""
    first = int(all(x2 - x1 >= 1 and y2 - y1 >= 1 for _, (x1, y1, x2, y2) in scene.boxes))
    for name, (x1, y1, x2, y2) in scene.boxes:
        corners = zip(("xmin", "ymin", "xmax", "ymax"), (x1 + first, y1 + first, x2, y2), strict=True)
        box = "".join(f"<{tag}>{value!r}</{tag}>" for tag, value in corners)
        objects += f"  <object><name>{escape(name)}</name><difficult>0</difficult><bndbox>{box}</bndbox></object>\n"
    size = f"<size><width>{scene.width}</width><height>{scene.height}</height><depth>3</depth></size>"
    text = f"<annotation>\n  <filename>{PATH}</filename>\n  {size}\n{objects}</annotation>\n"
    Path("a.xml").write_text(text, encoding="utf-8")
    return ["voc", "a.xml", "--voc-origin", str(first)]


def odvg_detection(scene: Scene) -> list[str]:
    items = [{"bbox": list(box), "label": i, "category": name} for i, (name, box) in enumerate(scene.boxes)]
    entry = {"filename": PATH, "width": scene.width, "height": scene.height, "detection": {"instances": items}}
    Path("a.jsonl").write_text(lines(entry), encoding="utf-8")
    return ["odvg", "a.jsonl"]


def odvg_grounding(scene: Scene) -> list[str]:
    regions = [{"bbox": list(box), "phrase": name} for name, box in scene.boxes]
    grounding = {"caption": "a street.", "regions": regions}
    entry = {"filename": PATH, "width": scene.width, "height": scene.height, "grounding": grounding}
    Path("a.jsonl").write_text(lines(entry), encoding="utf-8")
    return ["odvg", "a.jsonl"]


def qwen(scene: Scene, *, norm: bool = False) -> list[str]:
    def corners(box: Sequence[float]) -> list[float]:
        return [round(1000 * share) for share in shares(scene, box)] if norm else list(box)

    items = [{"bbox_2d": corners(box), "label": name} for name, box in scene.boxes]
    answer = f"```json\n{json.dumps(items, ensure_ascii=False, indent=1)}\n```"
    turns = [{"from": "human", "value": "<image>\nLocate everything."}, {"from": "gpt", "value": answer}]
    Path("a.jsonl").write_text(lines({"image": PATH, "conversations": turns}), encoding="utf-8")
    return ["qwen", "a.jsonl", "--qwen-coords", "norm1000" if norm else "pixel"]


def qwen_norm(scene: Scene) -> list[str]:
    return qwen(scene, norm=True)


def swift(scene: Scene, *, norm: bool = False) -> list[str]:
    named = " and ".join(["<ref-object><bbox>"] * len(scene.boxes))
    objects: dict[str, Any] = {
        "ref": [name for name, _ in scene.boxes],
        "bbox": [shares(scene, box) if norm else list(box) for _, box in scene.boxes],
    }
    turns = [{"role": "user", "content": "<image>What is there?"}, {"role": "assistant", "content": named}]
    kind = {"bbox_type": "norm1"} if norm else {}
    Path("a.jsonl").write_text(
        lines({"messages": turns, "images": [PATH], "objects": objects | kind}), encoding="utf-8"
    )
    return ["swift", "a.jsonl"]


def swift_norm(scene: Scene) -> list[str]:
    return swift(scene, norm=True)


def paligemma(scene: Scene) -> list[str]:
    parts = []
    for name, box in scene.boxes:
        x1, y1, x2, y2 = (min(1023, round(1024 * share)) for share in shares(scene, box))
        parts.append(f"<loc{y1:04}><loc{x1:04}><loc{y2:04}><loc{x2:04}> {name}")
    entry = {"image": PATH, "prefix": "detect everything", "suffix": " ; ".join(parts)}
    Path("a.jsonl").write_text(lines(entry), encoding="utf-8")
    return ["paligemma", "a.jsonl"]


def refcoco(scene: Scene) -> list[str]:
    annotations, refs = [], []
    for number, (name, (x1, y1, x2, y2)) in enumerate(scene.boxes, 1):
        shape = {"bbox": [x1, y1, x2 - x1, y2 - y1], "iscrowd": 0}
        annotations.append({"id": number, "image_id": 7, "category_id": 1, **shape})
        sentences = [{"sent": name, "raw": name, "tokens": name.split(), "sent_id": number}]
        refs.append({"ref_id": number, "ann_id": number, "image_id": 7, "split": "val", "sentences": sentences})
    frame = {"id": 7, "file_name": PATH, "width": scene.width, "height": scene.height}
    document = {"images": [frame], "categories": [{"id": 1, "name": "thing"}], "annotations": annotations}
    Path("instances.json").write_text(json.dumps(document))
    Path("refs.json").write_text(json.dumps(refs, ensure_ascii=False), encoding="utf-8")
    return ["refcoco", "refs.json"]


WRITERS: dict[str, Callable[[Scene], list[str]]] = {
    "yolo": yolo,
    "voc": voc,
    "odvg-detection": odvg_detection,
    "odvg-grounding": odvg_grounding,
    "qwen-pixel": qwen,
    "qwen-norm1000": qwen_norm,
    "swift-real": swift,
    "swift-norm1": swift_norm,
    "paligemma": paligemma,
    "refcoco": refcoco,
}
"""By name: writes the scene into this folder, but for the image, and returns the words after ``convert``."""
