"""``coordspec expand-vocab``: the coord tokens added to a checkpoint."""

from __future__ import annotations

from pathlib import Path

import click

from coordspec.coords import BINS, MAX_BIN


@click.command("expand-vocab")
@click.argument("source", metavar="IN", type=click.Path(path_type=Path))
@click.argument("out", metavar="OUT", type=click.Path(path_type=Path))
@click.option("--seed", type=click.IntRange(min=0), default=0, show_default=True, help="The same seed, the same rows.")
@click.option("--overwrite", is_flag=True, help="Replace OUT if it holds a checkpoint. IN is never changed.")
def command(*, source: Path, out: Path, seed: int, overwrite: bool) -> None:
    """Reads the folder IN, writes the whole new checkpoint to OUT. Neighbouring bins begin with nearly equal rows."""
    from coordspec.model.expand import expand_vocab  # noqa: PLC0415 (torch is loaded when it is needed)

    done = expand_vocab(source, out, seed=seed, overwrite=overwrite)
    heads = "embedding and tied head" if done.tied else "embedding and head"
    click.echo(
        f"{click.format_filename(out)}: {BINS:,} coord tokens added, ids {done.first_id} to "
        f"{done.first_id + MAX_BIN}; {heads} have {done.rows:,} rows, {done.rows_before:,} before"
    )
