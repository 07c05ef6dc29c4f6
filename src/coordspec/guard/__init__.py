"""Invariants of what is about to be trained on."""

from coordspec.guard.check import check_target, require_sound

__all__ = ["check_target", "require_sound"]
