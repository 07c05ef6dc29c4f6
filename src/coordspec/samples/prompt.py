"""What a model is asked: images and the prompts of a config as token ids, with M-RoPE positions.

The same in training and in generation.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from transformers import Qwen2_5_VLModel, Qwen3VLModel

from coordspec.config.sections import Template
from coordspec.errors import InputError
from coordspec.tokenizer import backend

if TYPE_CHECKING:
    from PIL import Image
    from transformers import PreTrainedConfig

    from coordspec.model.checkpoint import Processor


IMAGE = 1
"""The modality of an image token in ``mm_token_type_ids`` of transformers; text is 0."""


@dataclass(frozen=True, slots=True)
class Prompt:
    """A prompt up to where the answer starts: T tokens, N patches of D numbers, I images.

    ``types_T`` is ``IMAGE`` at image tokens and 0 elsewhere. ``grid_I3`` holds the patches (t, h, w) of every image.
    """

    ids_T: torch.Tensor  # int64
    types_T: torch.Tensor  # int64
    pixels_ND: torch.Tensor  # float32
    grid_I3: torch.Tensor  # int64

    def model_inputs(self) -> dict[str, torch.Tensor]:
        """Keyword arguments for ``generate`` of the model, as a batch of one."""
        return {
            "input_ids": self.ids_T[None],
            "attention_mask": torch.ones_like(self.ids_T)[None],
            "mm_token_type_ids": self.types_T[None],
            "pixel_values": self.pixels_ND,
            "image_grid_thw": self.grid_I3,
        }


class _Written(NamedTuple):
    """The ids of a prompt with one token for each image, and where these tokens stand."""

    ids: NDArray[np.int64]
    images: NDArray[np.intp]


class Prompter:
    """Encodes prompts as a model of the Qwen-VL family reads them: by its chat template and its image processor.

    The texts of a prompt are written and tokenised once. A special token never takes part in a merge, so repeating
    the image token among the ids gives what repeating it in the text would give.
    """

    def __init__(self, processor: Processor, image_token: int, template: Template) -> None:
        """``processor`` has the pixel limits of the template; ``image_token`` is that of the model's config.

        Raises:
            ValueError: the processor has other limits than the template says.
        """
        size = processor.image_processor.size
        for name, edge in (("min_pixels", "shortest_edge"), ("max_pixels", "longest_edge")):
            if getattr(template, name) not in (None, size[edge]):
                raise ValueError(f"template.{name} is {getattr(template, name)}, the processor has {size[edge]}")
        self._processor = processor
        self._image_token = image_token
        self._template = template
        self._merged = int(processor.image_processor.merge_size) ** 2
        self._written: dict[int, _Written] = {}

    def encode(self, images: Sequence[Image.Image]) -> Prompt:
        """The prompt about RGB images.

        Raises:
            InputError: the chat template does not write one image token for each image.
            ValueError: the image processor refuses an image, such as one that is far longer than it is wide.
        """
        made = self._processor.image_processor(images=list(images), return_tensors="pt")
        grid_I3: torch.Tensor = made["image_grid_thw"]
        ids = self._repeat((grid_I3.prod(-1) // self._merged).tolist())
        ids_T = torch.from_numpy(ids)
        types_T = (ids_T == self._image_token).long() * IMAGE
        return Prompt(ids_T, types_T, made["pixel_values"], grid_I3)

    def count_tokens(self, images: int, width: int, height: int) -> int:
        """How many tokens a prompt about so many images of this size has, without looking at one.

        Raises:
            InputError, ValueError: as ``encode``.
        """
        patches = self._processor.image_processor.get_number_of_image_patches(height, width)
        return len(self._write(images).ids) + images * (patches // self._merged - 1)

    def _repeat(self, tokens: Sequence[int]) -> NDArray[np.int64]:
        """The ids of a prompt whose images have so many tokens each."""
        written = self._write(len(tokens))
        times = np.ones(len(written.ids), dtype=np.int64)
        times[written.images] = tokens
        return np.repeat(written.ids, times)

    def _write(self, images: int) -> _Written:
        if images not in self._written:
            messages = conversation(self._template, [{"type": "image"}] * images)
            text = self._processor.tokenizer.apply_chat_template(messages, tokenize=False, add_generation_prompt=True)
            encoding = backend(self._processor.tokenizer).encode(text, add_special_tokens=False)
            ids = np.array(encoding.ids, dtype=np.int64)
            places = np.flatnonzero(ids == self._image_token)
            if len(places) != images:
                found = f"{len(places)} image tokens for {images} images"
                raise InputError("chat template", f"writes {found}; take the template of a Qwen-VL processor")
            self._written[images] = _Written(ids, places)
        return self._written[images]


def conversation(template: Template, images: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """The messages of a prompt: that of the system where there is one, and the images before the question."""
    user = {"role": "user", "content": [*images, {"type": "text", "text": template.user_prompt}]}
    if template.system_prompt is None:
        return [user]
    return [{"role": "system", "content": [{"type": "text", "text": template.system_prompt}]}, user]


# ---------------------------------------------------------------- positions


_MODELS: dict[str, Any] = {"qwen3_vl": Qwen3VLModel, "qwen2_5_vl": Qwen2_5_VLModel}


class RopePositions:
    """Calls ``get_rope_index`` of the model class that belongs to a config.

    A data worker needs positions and no weights, and that method reads nothing of the model but its config.
    """

    def __init__(self, config: PreTrainedConfig) -> None:
        """
        Raises:
            ValueError: the config is of a model that is not trained here.
        """
        if config.model_type not in _MODELS:
            known = ", ".join(sorted(_MODELS))
            raise ValueError(f"model_type {config.model_type!r} is none of those that can be trained: {known}")
        self.config = config

    def get_vision_position_ids(self, *args: Any, **kwargs: Any) -> torch.Tensor:
        """What ``get_rope_index`` calls on its model."""
        positions: torch.Tensor = self._model.get_vision_position_ids(self, *args, **kwargs)
        return positions

    def of(self, ids_T: torch.Tensor, types_T: torch.Tensor, grid_I3: torch.Tensor) -> torch.Tensor:
        """Temporal, height and width position of every token of one sample, shape ``(3, T)``, int64, from 0.

        ``types_T`` is 1 at image tokens and 0 elsewhere; ``grid_I3`` holds patches (t, h, w) of every image.
        """
        positions_31T, _ = self._model.get_rope_index(
            self, ids_T[None], mm_token_type_ids=types_T[None], image_grid_thw=grid_I3
        )
        positions_3T: torch.Tensor = positions_31T[:, 0]
        return positions_3T

    @property
    def _model(self) -> Any:
        return _MODELS[self.config.model_type]
