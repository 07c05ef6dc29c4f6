"""Checkpoints: vocabulary, tiny model, adapters."""
