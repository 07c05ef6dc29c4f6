"""Rollouts by a vLLM server, which is brought up to date through LoRA adapters."""

from coordspec.generate.vllm.generator import VllmGenerator

__all__ = ["VllmGenerator"]
