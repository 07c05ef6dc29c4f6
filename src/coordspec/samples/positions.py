"""M-RoPE positions of one sample, counted by the model's own class without its weights."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
from transformers import Qwen2_5_VLModel, Qwen3VLModel

if TYPE_CHECKING:
    from transformers import PreTrainedConfig

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
