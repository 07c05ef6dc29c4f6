"""Converters from other annotation formats to the record contract, and between the forms of a coordinate.

A format is one module that reads its source into pixels and one row of ``CONVERTERS``; everything behind the pixels
(frame, bins, order, duplicates, counts) is shared.
"""

from __future__ import annotations

from collections.abc import Mapping

from coordspec.convert.assemble import Conversion, Converter
from coordspec.convert.coco import COCO
from coordspec.convert.counts import Counts
from coordspec.convert.odvg import ODVG
from coordspec.convert.options import ConvertOptions
from coordspec.convert.paligemma import PALIGEMMA
from coordspec.convert.pixels import SourceError
from coordspec.convert.qwen import QWEN
from coordspec.convert.refcoco import REFCOCO
from coordspec.convert.swift import SWIFT
from coordspec.convert.voc import VOC
from coordspec.convert.yolo import YOLO

CONVERTERS: Mapping[str, Converter] = {
    converter.name: converter for converter in (COCO, YOLO, VOC, ODVG, QWEN, SWIFT, PALIGEMMA, REFCOCO)
}

__all__ = ["CONVERTERS", "Conversion", "ConvertOptions", "Converter", "Counts", "SourceError"]
