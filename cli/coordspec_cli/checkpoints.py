"""Options of the commands that let a checkpoint answer, with one meaning and one default."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Final, TypeVar, get_args

import click

from coordspec.config.sections import Attention, Dtype
from coordspec.config.training import Decoding, GenerateBatch, Termination
from coordspec.infer.options import PROMPT_SETTINGS, InferOptions, Opening, RecordSource
from coordspec_cli.options import max_line_bytes_option

F = TypeVar("F", bound=Callable[..., Any])

DECODING: Final = Decoding()
_TERMINATION: Final = Termination()
_OPENING: Final = Opening({})
_POSITIVE: Final = click.IntRange(min=1)
_OR_NONE: Final = click.IntRange(min=0)

_OPTIONS: Final = (
    click.option(
        "--image-root",
        type=click.Path(path_type=Path),
        metavar="DIR",
        help="Folder that image paths are relative to; without it the folder of DATA.",
    ),
    click.option("--max-records", type=_POSITIVE, metavar="N", help="Take the first N records only."),
    max_line_bytes_option("a longer one stops the command."),
    click.option(
        "--batch-size",
        type=_POSITIVE,
        default=GenerateBatch().size,
        show_default=True,
        metavar="N",
        help="Answers that are written at once.",
    ),
    click.option(
        "--max-new-tokens",
        type=_POSITIVE,
        default=DECODING.max_new_tokens,
        show_default=True,
        metavar="N",
        help="The longest answer.",
    ),
    click.option(
        "--max-objects",
        type=_OR_NONE,
        default=_TERMINATION.max_objects or 0,
        show_default=True,
        metavar="N",
        help="End an answer that begins another top-level entry behind N; 0 for no limit.",
    ),
    click.option(
        "--max-repeats",
        type=_OR_NONE,
        default=_TERMINATION.max_repeats or 0,
        show_default=True,
        metavar="N",
        help="End an answer that repeats an entry, but for its key, more than N times in a row; 0 for no limit.",
    ),
    click.option("--system-prompt", metavar="TEXT", help="System turn, of a checkpoint that does not say its own."),
    click.option("--user-prompt", metavar="TEXT", help="User turn, of a checkpoint that does not say its own."),
    click.option(
        "--min-pixels", type=_POSITIVE, metavar="N", help="Smaller images are enlarged to N pixels; likewise."
    ),
    click.option("--max-pixels", type=_POSITIVE, metavar="N", help="Larger images are reduced to N pixels; likewise."),
    click.option(
        "--unknown-preprocessing",
        is_flag=True,
        help="Take a checkpoint that does not say how images and prompts were prepared for it.",
    ),
    click.option(
        "--dtype",
        type=click.Choice(["auto", *get_args(Dtype)]),
        default=_OPENING.dtype,
        show_default=True,
        help="Type of the weights; auto is the checkpoint's own.",
    ),
    click.option(
        "--attn-implementation",
        type=click.Choice(get_args(Attention)),
        default=_OPENING.attn_implementation,
        show_default=True,
        help="Kernel of the attention.",
    ),
    click.option(
        "--device",
        default=_OPENING.device,
        show_default=True,
        metavar="NAME",
        help="cpu, cuda, …; auto is a GPU where there is one.",
    ),
)


def answering_options(command: F) -> F:
    """Which records are answered by a checkpoint, and how; the functions below take the values."""
    for option in reversed(_OPTIONS):
        command = option(command)
    return command


def opening_of(words: Mapping[str, Any]) -> Opening:
    """How the checkpoint is opened."""
    template = {name: words[name] for name in PROMPT_SETTINGS if words[name] is not None}
    names = ("dtype", "attn_implementation", "device", "unknown_preprocessing")
    return Opening(template, **{name: words[name] for name in names})


def source_of(data: str, words: Mapping[str, Any]) -> RecordSource:
    """Which records are answered."""
    return RecordSource(data, words["max_line_bytes"], words["image_root"], words["max_records"])


def infer_options_of(words: Mapping[str, Any], seed: int = 0, **decoding: Any) -> InferOptions:
    """How answers are written: greedily, unless ``decoding`` says otherwise."""
    return InferOptions(
        Decoding(max_new_tokens=words["max_new_tokens"], **decoding),
        Termination(max_objects=words["max_objects"] or None, max_repeats=words["max_repeats"] or None),
        words["batch_size"],
        seed,
    )
