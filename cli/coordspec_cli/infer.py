"""``coordspec infer``: from a checkpoint and a contract file to a prediction file."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from coordspec.findings.visible import plural
from coordspec_cli.checkpoints import DECODING, answering_options, infer_options_of, opening_of, source_of
from coordspec_cli.progress import stages

if TYPE_CHECKING:
    from coordspec.infer.run import InferSummary


@click.command("infer", epilog="The file is explained in `coordspec docs infer`.")
@click.argument("checkpoint", metavar="CKPT", type=click.Path(path_type=Path))
@click.argument("data", metavar="DATA")
@click.option(
    "-o",
    "--output",
    "out",
    metavar="PREDS",
    required=True,
    type=click.Path(path_type=Path),
    help="Prediction file (.jsonl). One of the same run is continued.",
)
@click.option("--overwrite", is_flag=True, help="Start PREDS over, whatever it holds.")
@click.option("--do-sample", is_flag=True, help="Draw tokens instead of taking the likeliest.")
@click.option(
    "--temperature",
    type=click.FloatRange(min=0, min_open=True),
    default=DECODING.temperature,
    show_default=True,
    help="Divisor of the logits; with --do-sample alone.",
)
@click.option(
    "--top-p",
    type=click.FloatRange(0, 1, min_open=True),
    default=DECODING.top_p,
    show_default=True,
    help="Draw from the likeliest tokens that hold this mass; with --do-sample alone.",
)
@click.option(
    "--top-k",
    type=click.IntRange(min=0),
    default=DECODING.top_k,
    show_default=True,
    help="Draw from as many of the likeliest tokens, 0 for all; with --do-sample alone.",
)
@click.option(
    "--repetition-penalty",
    type=click.FloatRange(min=0, min_open=True),
    default=DECODING.repetition_penalty,
    show_default=True,
    help="Divisor of the scores of tokens that stand before; 1 for none.",
)
@click.option(
    "--seed", type=click.IntRange(min=0), default=0, show_default=True, help="The same seed draws the same answers."
)
@answering_options
def command(
    *,
    checkpoint: Path,
    data: str,
    out: Path,
    overwrite: bool,
    do_sample: bool,
    temperature: float,
    top_p: float,
    top_k: int,
    repetition_penalty: float,
    seed: int,
    **words: Any,
) -> None:
    """CKPT is the folder of a checkpoint, DATA a contract file (.jsonl). Answers are read strictly; what is no valid
    object is kept with the reason. A run that was interrupted goes on where it stopped when it is called again.
    """
    from coordspec.infer.checkpoint import open_checkpoint  # noqa: PLC0415 (torch is loaded when it is needed)
    from coordspec.infer.run import infer, refuse_name  # noqa: PLC0415

    refuse_name(out)
    source = source_of(data, words)
    options = infer_options_of(
        words,
        seed,
        do_sample=do_sample,
        temperature=temperature,
        top_p=top_p,
        top_k=top_k,
        repetition_penalty=repetition_penalty,
    )
    opened = open_checkpoint(checkpoint, opening_of(words))
    with stages() as note:
        summary = infer(opened, source, out, options, note, overwrite=overwrite)
    for line in _lines(out, summary):
        click.echo(line)


def _lines(out: Path, done: InferSummary) -> Iterator[str]:
    if done.cut_bytes:
        yield f"note: the last line was only half there and was cut off ({plural(done.cut_bytes, 'byte')})"
    made = done.records - done.before
    before = f", {done.before:,} of them from before" if done.before else ""
    yield f"{click.format_filename(out)}: {done.records:,} records{before}"
    if made:
        ends = ", ".join(f"{reason} {count:,}" for reason, count in sorted(done.ended.items()))
        counts = done.counts
        yield f"  {counts.valid:,} objects, {plural(counts.dropped, 'entry').replace('entrys', 'entries')} dropped"
        yield f"  {counts.truncated:,} truncated, {counts.answers - counts.parsed:,} unreadable; ended by: {ends}"
