"""Which prediction stands for which ground-truth object."""

from coordspec.match.assign import Match, match_objects
from coordspec.match.cost import pairwise_iou

__all__ = ["Match", "match_objects", "pairwise_iou"]
