"""What the tests of checkpoints share: folders of tiny models, other heads, one image with its prompt."""

from __future__ import annotations

import atexit
import shutil
from functools import cache
from pathlib import Path
from tempfile import mkdtemp
from typing import Any

import torch
from PIL import Image
from transformers import Qwen3VLForConditionalGeneration

from coordspec.config.training import Training
from coordspec.model.checkpoint import Processor, VisionLanguageModel, save_checkpoint
from coordspec.model.tiny import TinySpec, tiny_image_processor, tiny_model, tiny_tokenizer

QUESTION = [{"role": "user", "content": [{"type": "image"}, {"type": "text", "text": "Where?"}]}]
ANSWER = (
    '{"object_1": {"desc": "red star", "bbox_2d": ["<|coord_1|>", "<|coord_22|>", "<|coord_333|>", "<|coord_999|>"]}}'
)


@cache
def processor(coords: bool = True) -> Processor:
    return Processor(tiny_tokenizer(TinySpec(coords=coords)), tiny_image_processor())


def model(*, coords: bool = True, tied: bool = True, rows: int = 0) -> Qwen3VLForConditionalGeneration:
    """A tiny model, with a head of its own where ``tied`` is False, and with ``rows`` spare rows."""
    made = tiny_model(processor(coords).tokenizer, seed=0).eval()
    if tied and not rows:
        return made
    config = made.config
    config.tie_word_embeddings = config.text_config.tie_word_embeddings = tied
    config.text_config.vocab_size += rows
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(1)
        return Qwen3VLForConditionalGeneration(config).eval()


def folder(*, coords: bool = True, tied: bool = True) -> Path:
    """A checkpoint folder that every test only reads."""
    return _folder(coords, tied)


@cache
def _folder(coords: bool, tied: bool) -> Path:
    path = Path(mkdtemp(prefix="coordspec-tests-"))
    atexit.register(shutil.rmtree, path)
    save_checkpoint(model(coords=coords, tied=tied), processor(coords), path, source=path)
    return path


def batch(made: Processor, text: str = ANSWER) -> dict[str, Any]:
    """Inputs of the model: one image, the question and an answer."""
    images = made.image_processor(
        images=[Image.linear_gradient("L").resize((64, 64)).convert("RGB")], return_tensors="pt"
    )
    prompt = made.tokenizer.apply_chat_template(QUESTION, tokenize=False, add_generation_prompt=True)
    image_tokens = "<|image_pad|>" * int(images["image_grid_thw"].prod() // 4)
    ids = made.tokenizer(prompt.replace("<|image_pad|>", image_tokens) + text, return_tensors="pt").input_ids
    image_id = made.tokenizer.backend_tokenizer.token_to_id("<|image_pad|>")
    return {
        "input_ids": ids,
        "attention_mask": torch.ones_like(ids),
        "mm_token_type_ids": (ids == image_id).long(),
        "pixel_values": images["pixel_values"],
        "image_grid_thw": images["image_grid_thw"],
    }


@torch.no_grad()
def logits(of: VisionLanguageModel | torch.nn.Module, inputs: dict[str, Any]) -> torch.Tensor:
    """Shape (T, V)."""
    found: torch.Tensor = of(**inputs).logits[0]
    return found


def rates(learning_rate: float, weight_decay: float = 0.1, **changes: Any) -> Training:
    """A section ``training`` with these learning rates."""
    return Training(output_dir="run", learning_rate=learning_rate, weight_decay=weight_decay, **changes)
