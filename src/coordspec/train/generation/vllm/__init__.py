"""Rollouts by a vLLM server, which is brought up to date through LoRA adapters."""

from coordspec.train.generation.vllm.generator import VllmGenerator

__all__ = ["VllmGenerator"]
