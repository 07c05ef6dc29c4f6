"""The section ``training`` of a config as Hugging Face's TrainingArguments, name by name."""

from __future__ import annotations

from typing import Final

from transformers import TrainingArguments

from coordspec.config.training import Training
from coordspec.errors import InputError
from coordspec.ranks import world

OURS: Final = frozenset(
    {
        "vision_learning_rate",
        "projector_learning_rate",
        "coord_learning_rate",
        "muon_learning_rate",
        "optim",
        "gradient_checkpointing",
    }
)
"""Settings that TrainingArguments do not get: rates of parts, and what is switched on in the model itself."""
REPLACED: Final = frozenset({"num_train_epochs", "max_steps", "dataloader_num_workers", "eval_steps"})
"""Settings that have done their work before: the run's length is a number of steps, and the loader is ours."""


def training_arguments(training: Training, *, evaluates: bool) -> TrainingArguments:
    """Arguments of a run but for ``max_steps``, which depends on the data. Making them lets the ranks of a run meet.

    A run is one pass of the trainer over an endless stream, so its number of epochs is 1.

    Raises:
        InputError: a setting cannot be used on this machine, such as ``bf16`` on a GPU that has none.
    """
    same = training.model_dump(exclude=set(OURS | REPLACED))
    try:
        return TrainingArguments(
            **same,
            optim="adamw_torch_fused" if training.optim == "muon" else training.optim,
            num_train_epochs=1,
            eval_strategy="steps" if evaluates and training.eval_steps is not None else "no",
            eval_steps=training.eval_steps,
            save_strategy="steps",
            logging_strategy="steps",
            logging_nan_inf_filter=False,  # such a loss stops the run
            remove_unused_columns=False,
            disable_tqdm=True,
            report_to=[],
            ddp_find_unused_parameters=False,
            ddp_backend="gloo" if training.use_cpu and world() > 1 else None,
        )
    except ValueError as error:
        raise InputError("training", f"cannot be done on this machine: {error}") from error
