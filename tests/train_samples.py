"""What the tests of the training data share: the embedded default's processor, tiny models, records with images."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from typing import Any

import torch
from PIL import Image
from transformers import Qwen2_5_VLConfig, Qwen2_5_VLForConditionalGeneration, Qwen3VLForConditionalGeneration

from coordspec.config.sections import Template
from coordspec.errors import Place
from coordspec.model import chat
from coordspec.model.checkpoint import Processor, VisionLanguageModel
from coordspec.model.tiny import TinySpec, tiny_image_processor, tiny_model, tiny_tokenizer
from coordspec.record import DetObject, Record
from coordspec.samples.encode import Encoder, Sample

PAD = 0
"""Any id does for padding."""


@cache
def processor() -> Processor:
    return Processor(tiny_tokenizer(TinySpec()), tiny_image_processor())


@cache
def qwen3() -> Qwen3VLForConditionalGeneration:
    return tiny_model(processor().tokenizer, seed=0).eval()


@cache
def qwen2_5() -> Qwen2_5_VLForConditionalGeneration:
    """Qwen2.5-VL with window attention in its first vision layer, for the same tokenizer and images."""
    ids = processor().tokenizer.backend_tokenizer
    config = Qwen2_5_VLConfig(
        text_config={
            "vocab_size": len(processor().tokenizer),
            "hidden_size": 64,
            "intermediate_size": 96,
            "num_hidden_layers": 2,
            "num_attention_heads": 4,
            "num_key_value_heads": 2,
            "rope_parameters": {"rope_type": "default", "rope_theta": 10000.0, "mrope_section": [2, 3, 3]},
        },
        vision_config={
            "depth": 2,
            "hidden_size": 32,
            "intermediate_size": 48,
            "num_heads": 2,
            "patch_size": 8,
            "spatial_merge_size": 2,
            "temporal_patch_size": 2,
            "out_hidden_size": 64,
            "window_size": 32,
            "fullatt_block_indexes": [1],
        },
        image_token_id=ids.token_to_id(chat.IMAGE_PAD),
        video_token_id=ids.token_to_id(chat.VIDEO_PAD),
        vision_start_token_id=ids.token_to_id(chat.VISION_START),
        vision_end_token_id=ids.token_to_id(chat.VISION_END),
    )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return Qwen2_5_VLForConditionalGeneration(config).eval()


@cache
def encoder(model: VisionLanguageModel | None = None, **template: Any) -> Encoder:
    """An encoder for a tiny model, with these settings of the template."""
    return Encoder(processor(), (model or qwen3()).config, Template(**template))


def record(width: int, height: int, objects: int, images: int = 1, line: int = 1) -> Record:
    """A record with so many objects and images, from a line of ``train.jsonl``."""
    found = tuple(DetObject("red circle", bbox_2d=(10 * i, 2, 10 * i + 9, 400 + i)) for i in range(objects))
    return Record(tuple(f"{i}.png" for i in range(images)), width, height, found, place=Place("train.jsonl", line))


def pictures(record: Record) -> list[Image.Image]:
    """Noise in the size of a record, other noise for every line."""
    noise = torch.Generator().manual_seed(record.place.line or 0)
    shape = (record.height, record.width, 3)
    pixels = [torch.randint(256, shape, generator=noise, dtype=torch.uint8) for _ in record.images]
    return [Image.fromarray(image.numpy()) for image in pixels]


def samples(records: Sequence[Record], model: VisionLanguageModel | None = None) -> list[Sample]:
    made = encoder(model)
    return [made.sample(item, pictures(item)) for item in records]


@cache
def four() -> list[Sample]:
    """Samples of different sizes: one object, three, none, and one about two images."""
    return samples(
        [
            record(64, 64, 1, line=1),
            record(96, 64, 3, line=2),
            record(64, 128, 0, line=3),
            record(64, 48, 2, images=2, line=4),
        ]
    )
