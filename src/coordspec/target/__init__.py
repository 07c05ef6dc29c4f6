"""What a rollout is completed to, and what of it is supervised."""

from coordspec.contracts import Kind, Owner
from coordspec.rollout.tokens import TokenTable
from coordspec.target.build import build_target
from coordspec.target.dump import Dump, target_from_json, target_to_json
from coordspec.target.ground_truth import ground_truth_target
from coordspec.target.types import Report, Slot, Target

__all__ = [
    "Dump",
    "Kind",
    "Owner",
    "Report",
    "Slot",
    "Target",
    "TokenTable",
    "build_target",
    "ground_truth_target",
    "target_from_json",
    "target_to_json",
]
