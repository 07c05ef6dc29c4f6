"""``coordspec sheet``: predictions and ground truth in one picture."""

from __future__ import annotations

import io
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Final

import click

from coordspec.errors import InputError
from coordspec.evaluate.options import IOU
from coordspec.findings.visible import plural
from coordspec.jsonl.write import refuse_output, write_whole
from coordspec.notes import Note, counting
from coordspec.predictions.files import read_predictions
from coordspec.validate.run import known_bytes
from coordspec_cli.options import max_line_bytes_option
from coordspec_cli.progress import stages

if TYPE_CHECKING:
    from coordspec.evaluate.judge import Judged

_MOST: Final = 400


@click.command("sheet", epilog="The picture is explained in `coordspec docs infer`.")
@click.argument("preds", metavar="PREDS")
@click.argument("data", metavar="DATA")
@click.option(
    "-o", "--output", "out", metavar="PNG", required=True, type=click.Path(path_type=Path), help="Picture to write."
)
@click.option("--overwrite", is_flag=True, help="Replace PNG if it exists.")
@click.option(
    "--count",
    type=click.IntRange(1, _MOST),
    default=16,
    show_default=True,
    metavar="N",
    help="Records that are drawn, the first ones of DATA.",
)
@click.option(
    "--columns", type=click.IntRange(1, 20), default=4, show_default=True, metavar="N", help="Images in a row."
)
@click.option(
    "--cell",
    type=click.IntRange(96, 1024),
    default=240,
    show_default=True,
    metavar="PIXELS",
    help="Side of the square that an image is fitted into.",
)
@click.option(
    "--image-root",
    type=click.Path(path_type=Path),
    metavar="DIR",
    help="Folder that image paths are relative to; without it the folder of DATA.",
)
@click.option(
    "--font",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="TrueType font, for descs in other letters than ASCII.",
)
@max_line_bytes_option("a longer one stops the command.")
def command(
    *,
    preds: str,
    data: str,
    out: Path,
    overwrite: bool,
    count: int,
    columns: int,
    cell: int,
    image_root: Path | None,
    font: Path | None,
    max_line_bytes: int,
) -> None:
    """PREDS is a prediction file, DATA the contract file that it was made for. Solid boxes are predictions, green where
    they are right and red where they are not; dashed boxes are the ground truth.
    """
    refuse_output(out, overwrite=overwrite, sources=[preds, data])
    with stages() as note:
        judged = _judged(preds, data, max_line_bytes, note)
        note("drawing", 0, None)
        picture = _draw(judged, Path(preds).name, image_root, count, (columns, cell, font))
    with write_whole(out, overwrite=overwrite, sources=[preds, data]) as stream:
        stream.write(picture)
    drawn = min(count, len(judged))
    click.echo(f"{click.format_filename(out)}: {drawn} of {plural(len(judged), 'record')}")


def _judged(preds: str, data: str, max_line_bytes: int, note: Note) -> list[Judged]:
    from coordspec.evaluate.join import join  # noqa: PLC0415 (numpy and scipy are of an extra)
    from coordspec.evaluate.judge import judge  # noqa: PLC0415
    from coordspec.record import all_records  # noqa: PLC0415

    on_read = counting(note, "reading predictions", known_bytes([preds]))
    file = read_predictions(preds, max_line_bytes, on_read)
    records = all_records(data, max_line_bytes, counting(note, "reading data", known_bytes([data])))
    if not records:
        raise InputError(data, "holds no record, so there is nothing to draw")
    joined = join(records, file.predictions)
    if len(joined.missing) == len(records):
        raise InputError(preds, f"holds no prediction for a record of {data}")
    note("matching", 0, None)
    return judge(joined.records, joined.predictions)


def _draw(
    judged: Sequence[Judged], name: str, image_root: Path | None, count: int, layout: tuple[int, int, Path | None]
) -> bytes:
    """The PNG file."""
    from coordspec.evaluate.judge import match_counts  # noqa: PLC0415 (numpy and scipy are of an extra)
    from coordspec.infer.sheet import Layout, draw_sheet  # noqa: PLC0415

    score = match_counts(judged).f1
    shown = "" if score is None else f", F1 {score:.3f} at IoU {IOU}"
    title = f"{name}: {plural(len(judged), 'record')}{shown}"
    buffer = io.BytesIO()
    draw_sheet(judged[:count], image_root, Layout(*layout), title).save(buffer, "PNG")
    return buffer.getvalue()
