"""``coordspec tiny-model``: the embedded default."""

from __future__ import annotations

from pathlib import Path

import click


@click.command("tiny-model")
@click.argument("folder", metavar="OUT", type=click.Path(path_type=Path))
@click.option("--seed", type=click.IntRange(min=0), default=0, show_default=True, help="The same seed, the same model.")
@click.option(
    "--vocab-size",
    type=int,
    default=512,
    show_default=True,
    metavar="N",
    help="Byte pieces of its tokenizer, 256 to 600; special and coord tokens come on top.",
)
@click.option(
    "--without-coord-tokens", is_flag=True, help="Leave the coord tokens out, as in a checkpoint to be expanded."
)
@click.option("--overwrite", is_flag=True, help="Replace OUT if it holds a checkpoint.")
def command(*, folder: Path, seed: int, vocab_size: int, without_coord_tokens: bool, overwrite: bool) -> None:
    """Writes OUT with weights, tokenizer and processor. Nothing is downloaded."""
    from coordspec.model.tiny import TinySpec, write_tiny_model  # noqa: PLC0415 (torch is loaded when it is needed)

    try:
        made = write_tiny_model(folder, TinySpec(seed, vocab_size, not without_coord_tokens), overwrite=overwrite)
    except ValueError as error:
        raise click.UsageError(str(error)) from error
    coords = "no coord tokens" if without_coord_tokens else "1,000 coord tokens"
    click.echo(f"{click.format_filename(folder)}: {made.parameters:,} parameters, {made.tokens:,} tokens, {coords}")
