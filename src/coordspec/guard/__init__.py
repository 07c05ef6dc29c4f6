"""Invariants of what is about to be trained on."""
