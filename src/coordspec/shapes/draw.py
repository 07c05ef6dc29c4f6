"""From a scene to its pixels."""

from __future__ import annotations

import hashlib
from operator import add

from PIL import Image

from coordspec.shapes.outline import in_frame, spans
from coordspec.shapes.scene import Background, Scene


def draw(scene: Scene) -> Image.Image:
    """The image of a scene: RGB, ``width`` x ``height``, the same pixels on every machine.

    Spans of pixels are filled one by one, since what Pillow's own polygons and ellipses cover differs between versions.
    """
    image = _ground(scene.background, scene.width, scene.height)
    for shape in scene.shapes:
        for y, x1, x2 in in_frame(spans(shape.outline), scene.width, scene.height):
            image.paste(shape.fill, (x1, y, x2 + 1, y + 1))
    return image


def _ground(ground: Background, width: int, height: int) -> Image.Image:
    noise = hashlib.shake_256(ground.key).digest(width * height)
    grain = noise.translate(bytes(value % (ground.grain + 1) for value in range(256)))
    if ground.axis == 0:
        ramp = bytes(ground.slope * x // (width - 1) for x in range(width)) * height
    else:
        ramp = b"".join(bytes([ground.slope * y // (height - 1)]) * width for y in range(height))
    shade = Image.frombytes("L", (width, height), bytes(map(add, ramp, grain)))
    return Image.merge("RGB", [shade.point([min(255, base + step) for step in range(256)]) for base in ground.base])
