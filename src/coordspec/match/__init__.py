"""Which prediction stands for which ground-truth object."""

from coordspec.match.assign import DEFAULT_IOU_GATE, Match, match_objects
from coordspec.match.cost import pairwise_iou

__all__ = ["DEFAULT_IOU_GATE", "Match", "match_objects", "pairwise_iou"]
