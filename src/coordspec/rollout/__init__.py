"""What a model wrote, read strictly and aligned with its token ids."""

from coordspec.rollout.parse import Entry, Rollout, parse_rollout
from coordspec.rollout.reasons import DropReason, Fallback
from coordspec.rollout.tokens import TokenTable, token_table

__all__ = ["DropReason", "Entry", "Fallback", "Rollout", "TokenTable", "parse_rollout", "token_table"]
