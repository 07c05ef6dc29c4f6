"""From a record and its images to one training sample: prompt and answer as ids, and what of it is supervised."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import torch

from coordspec.checks.finding import shown
from coordspec.config.sections import Template
from coordspec.contracts import NO_LOSS, Kind, rule
from coordspec.errors import ContractError, Place
from coordspec.losses.rows import IGNORE_INDEX
from coordspec.record import Record
from coordspec.samples.prompt import Prompt, Prompter, RopePositions
from coordspec.target import Target, TokenTable, ground_truth_target
from coordspec.target.ground_truth import STAGE1

if TYPE_CHECKING:
    from PIL import Image
    from transformers import PreTrainedConfig

    from coordspec.model.checkpoint import Processor

PROMPT: Final = 0
"""Kind of a token that is no part of an answer: prompt and padding."""
KIND_CODES: Final = {kind: code for code, kind in enumerate(Kind, PROMPT + 1)}
"""Kind of an answer's token as it stands in tensors."""


@dataclass(frozen=True, slots=True)
class Sample:
    """One sample: T tokens, N patches of D numbers, I images.

    ids_T          prompt and answer
    labels_T       what the logits at t - 1 are to predict: the id itself where its cross entropy has a weight, the
                   coord token of the ground-truth bin where a coordinate has a loss, ``IGNORE_INDEX`` elsewhere
    weights_T      weight of the cross entropy, 0 where there is none
    kinds_T        ``PROMPT``, or the code of the answer's kind in ``KIND_CODES``
    types_T        1 at image tokens, else 0
    positions_3T   temporal, height and width position for M-RoPE, from 0
    pixels_ND      patches as the image processor makes them
    grid_I3        patches (t, h, w) of every image
    answer         index of the answer's first token
    place          file and line of the record
    """

    ids_T: torch.Tensor  # int64
    labels_T: torch.Tensor  # int64
    weights_T: torch.Tensor  # float32
    kinds_T: torch.Tensor  # uint8
    types_T: torch.Tensor  # int64
    positions_3T: torch.Tensor  # int64
    pixels_ND: torch.Tensor  # float32
    grid_I3: torch.Tensor  # int64
    answer: int
    place: Place

    def __len__(self) -> int:
        return len(self.ids_T)


class Encoder:
    """Encodes records with their payload as the answer."""

    def __init__(
        self, processor: Processor, config: PreTrainedConfig, template: Template, *, rows: str = STAGE1
    ) -> None:
        """``processor`` and ``config`` are those of the model; see ``ground_truth_target`` for ``rows``.

        Raises:
            ValueError: the processor has other pixel limits than the template; the config is of a model that is not
                trained here, or the tokenizer of none, see ``TokenTable``.
        """
        self.max_length = template.max_length
        self._positions = RopePositions(config)
        self.prompter = Prompter(processor, config.image_token_id, template)
        self.table = TokenTable(processor.tokenizer)
        self._coord_ids = torch.tensor(self.table.coords.ids)
        self._rows = rows

    def count_tokens(self, record: Record) -> int:
        """How many tokens the sample of a record has, without a look at its images.

        Raises:
            ContractError: it is longer than ``template.max_length``, or no image can have the size that it says.
        """
        return self._fitting(record, self._answer(record))

    def sample(self, record: Record, images: Sequence[Image.Image]) -> Sample:
        """The sample of a record; ``images`` are its images, upright and RGB.

        Raises:
            ContractError: as ``count_tokens``.
            InputError: the chat template does not write one image token for each image.
        """
        target = self._answer(record)
        tokens = self._fitting(record, target)
        prompt = self.prompt(record, images)
        if len(prompt.ids_T) + len(target.ids) != tokens:
            found, expected = len(prompt.ids_T), tokens - len(target.ids)
            raise _unusable(record, f"the image processor makes {found} prompt tokens and not {expected}, as it says")
        return self.join(prompt, target, record.place)

    def prompt(self, record: Record, images: Sequence[Image.Image]) -> Prompt:
        """The prompt about the images of a record.

        Raises:
            ContractError: the image processor does not take them.
            InputError: as ``sample``.
        """
        try:
            return self.prompter.encode(images)
        except ValueError as error:
            raise _unusable(record, str(error)) from error

    def join(self, prompt: Prompt, target: Target, place: Place) -> Sample:
        """Prompt and answer as one sample."""
        answer_A = torch.tensor(target.ids)
        weights_A = torch.tensor(target.ce_weight, dtype=torch.float32)
        labels_A = answer_A.where(weights_A > 0, IGNORE_INDEX)
        for slot in target.slots:
            if slot.coord_loss != NO_LOSS:
                labels_A[list(slot.positions)] = self._coord_ids[list(slot.bins)]
        kinds_A = torch.tensor([KIND_CODES[kind] for kind in target.kind], dtype=torch.uint8)
        start = len(prompt.ids_T)
        ids_T = torch.cat([prompt.ids_T, answer_A])
        types_T = torch.cat([prompt.types_T, torch.zeros_like(answer_A)])
        return Sample(
            ids_T=ids_T,
            labels_T=torch.cat([torch.full((start,), IGNORE_INDEX), labels_A]),
            weights_T=torch.cat([torch.zeros(start), weights_A]),
            kinds_T=torch.cat([torch.full((start,), PROMPT, dtype=torch.uint8), kinds_A]),
            types_T=types_T,
            positions_3T=self._positions.of(ids_T, types_T, prompt.grid_I3),
            pixels_ND=prompt.pixels_ND,
            grid_I3=prompt.grid_I3,
            answer=start,
            place=place,
        )

    def _answer(self, record: Record) -> Target:
        return ground_truth_target(record, self.table, rows=self._rows)

    def _fitting(self, record: Record, target: Target) -> int:
        """How many tokens prompt and answer have together."""
        try:
            prompt = self.prompter.count_tokens(len(record.images), record.width, record.height)
        except ValueError as error:
            raise _unusable(record, str(error)) from error
        answer = len(target.ids)
        if prompt + answer > self.max_length:
            sizes = {"tokens": prompt + answer, "prompt": prompt, "answer": answer, "limit": self.max_length}
            raise ContractError([rule("sample-too-long").issue(record.place, sizes)])
        return prompt + answer


def _unusable(record: Record, reason: str) -> ContractError:
    """The finding that the image processor does not take the images of a record."""
    at = Place(record.place.path, record.place.line, at=("images", 0))
    return ContractError([rule("image-unreadable").issue(at, {"value": shown(record.images[0]), "reason": reason})])
