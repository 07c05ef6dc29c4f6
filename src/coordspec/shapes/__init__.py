"""The embedded data set: scenes of coloured shapes, drawn pixel by pixel, with exact annotations.

``scene`` says what stands in one image, ``draw`` paints it, ``dataset`` writes folders of both. A scene depends on
nothing but its seed, split, index and spec, so image 7 is the same one in a set of ten and in a set of ten thousand.
"""

from coordspec.shapes.draw import draw
from coordspec.shapes.scene import Background, Scene, SceneSpec, Shape, scene

__all__ = ["Background", "Scene", "SceneSpec", "Shape", "draw", "scene"]
