"""``coordspec merge-lora``: a plain checkpoint of an adapter and its model."""

from __future__ import annotations

from pathlib import Path

import click


@click.command("merge-lora")
@click.argument("adapter", metavar="ADAPTER", type=click.Path(path_type=Path))
@click.argument("out", metavar="OUT", type=click.Path(path_type=Path))
@click.option(
    "--base",
    type=click.Path(path_type=Path),
    metavar="DIR",
    help="Folder of the model that the adapter was trained on, if it is not where the adapter says.",
)
@click.option("--overwrite", is_flag=True, help="Replace OUT if it holds a checkpoint.")
def command(*, adapter: Path, out: Path, base: Path | None, overwrite: bool) -> None:
    """Reads the folder ADAPTER and its model, and writes OUT; both are left as they are."""
    from coordspec.model.lora import merge_saved_adapter  # noqa: PLC0415 (torch is loaded when it is needed)

    source = merge_saved_adapter(adapter, out, base=base, overwrite=overwrite)
    names = [click.format_filename(path) for path in (out, adapter, source)]
    click.echo(f"{names[0]}: {names[1]} merged into {names[2]}")
