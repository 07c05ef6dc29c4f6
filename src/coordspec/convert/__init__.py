"""Converters from other annotation formats to the record contract, and between the forms of a coordinate.

A format is one module that reads its source into pixels and one row of ``CONVERTERS``; everything behind the pixels
(frame, bins, order, duplicates, counts) is shared.
"""

from __future__ import annotations

from collections.abc import Mapping

from coordspec.convert.assemble import Conversion, Converter
from coordspec.convert.coco import COCO
from coordspec.convert.options import ConvertOptions, Counts
from coordspec.convert.pixels import SourceError

CONVERTERS: Mapping[str, Converter] = {converter.name: converter for converter in (COCO,)}

__all__ = ["CONVERTERS", "Conversion", "ConvertOptions", "Converter", "Counts", "SourceError"]
