"""``coordspec report``: a data file, predictions or a training run as one page."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import click

from coordspec.errors import InputError
from coordspec.evaluate.categories import read_categories
from coordspec.jsonl.write import refuse_output, write_whole
from coordspec.notes import Note
from coordspec.report.options import DEFAULTS, OF_PREDICTIONS, Order, ReportOptions
from coordspec.report.source import ReportKind, kind_of
from coordspec_cli.main import EXIT_CLEAN, EXIT_FINDINGS
from coordspec_cli.options import max_line_bytes_option
from coordspec_cli.progress import stages

if TYPE_CHECKING:
    from coordspec.report.page import ReportPage

_OF_PREDICTIONS: Final = {"iou", "categories", "partial"}
_OF_FILES: Final = {"image_root", "max_images", "order", "thumbnail", "max_line_bytes"}
_WHAT: Final = {ReportKind.DATA: "a data file", ReportKind.RUN: "a run folder"}


@click.command("report", epilog="The page is explained in `coordspec docs report`.")
@click.argument("path", metavar="PATH")
@click.argument("data", metavar="[DATA]", required=False)
@click.option(
    "-o", "--output", "out", metavar="HTML", required=True, type=click.Path(path_type=Path), help="Page to write."
)
@click.option("--overwrite", is_flag=True, help="Replace HTML if it exists. What is read is never replaced.")
@click.option(
    "--max-images",
    type=click.IntRange(1, 5000),
    default=DEFAULTS.max_images,
    show_default=True,
    metavar="N",
    help="Show at most N records, the first ones of --order. Numbers and charts are always about all.",
)
@click.option(
    "--order",
    type=click.Choice([order.value for order in Order]),
    help="Which records come first: as in the file, most findings, lowest F1, most false positives, most missed.  "
    "[default: f1 for predictions, else file]",
)
@click.option(
    "--thumbnail",
    type=click.IntRange(96, 1024),
    default=DEFAULTS.side,
    show_default=True,
    metavar="PIXELS",
    help="Longest side of an image in the page.",
)
@click.option(
    "--image-root",
    type=click.Path(exists=True, file_okay=False, path_type=Path),
    metavar="DIR",
    help="Folder that image paths are relative to; without it the folder of the data file.",
)
@click.option(
    "--iou",
    type=click.FloatRange(0, 1, min_open=True),
    default=DEFAULTS.iou,
    show_default=True,
    help="With predictions: the IoU from which one is right.",
)
@click.option("--categories", metavar="TABLE", help="With predictions: JSON or YAML mapping from descs to categories.")
@click.option("--partial", is_flag=True, help="With predictions: leave out the records that have none.")
@max_line_bytes_option("a longer one is a finding in a data file, and stops the command in predictions.")
@click.pass_context
def command(ctx: click.Context, /, *, path: str, data: str | None, out: Path, overwrite: bool, **words: Any) -> int:
    """The page works offline, from one file.

    PATH is a data file, a prediction file with the DATA that it was made for (.jsonl, .gz, .zst), or the folder of a
    run of `coordspec train`. Exit status 1: the data has findings at error level, or predictions are missing or belong
    to no record; the page is written all the same.
    """
    kind = _kind(path, data, words["max_line_bytes"])
    _refuse_options(ctx, kind, words["order"])
    sources = [path] if data is None else [path, data]
    refuse_output(out, overwrite=overwrite, sources=sources)
    with stages() as note:
        report = _report(kind, path, data, words, note)
    page = report.html().encode()
    with write_whole(out, overwrite=overwrite, sources=sources) as stream:
        stream.write(page)
    click.echo(f"{click.format_filename(out)}: {report.summary}")
    return EXIT_FINDINGS if report.errors else EXIT_CLEAN


def _kind(path: str, data: str | None, max_line_bytes: int) -> ReportKind:
    """What is to be reported.

    Raises:
        UsageError: PATH and DATA do not go together.
        InputError: one of them cannot be read, or holds something else.
    """
    kind = kind_of(path, max_line_bytes)
    if kind is ReportKind.PREDICTIONS:
        if data is None:
            raise InputError(path, "holds predictions; name the data file that they were made for behind it")
        if kind_of(data, max_line_bytes) is not ReportKind.DATA:
            raise InputError(data, "is no data file; name the one that the predictions were made for")
    elif data is not None:
        if kind is ReportKind.DATA and kind_of(data, max_line_bytes) is ReportKind.PREDICTIONS:
            raise click.UsageError("the prediction file comes first, and its data file behind it")
        raise click.UsageError(f"PATH is {_WHAT[kind]}, so there is no DATA; a report is about one of them")
    return kind


def _refuse_options(ctx: click.Context, kind: ReportKind, order: str | None) -> None:
    given = {name for name in ctx.params if ctx.get_parameter_source(name) is not click.core.ParameterSource.DEFAULT}
    useless = set() if kind is ReportKind.PREDICTIONS else _OF_PREDICTIONS
    if kind is ReportKind.RUN:
        useless = useless | _OF_FILES
    for name in sorted(given & useless):
        raise click.UsageError(f"--{name.replace('_', '-')} does nothing with {_WHAT[kind]}")
    if kind is ReportKind.DATA and order in OF_PREDICTIONS:
        raise click.UsageError(f"--order {order} needs predictions; a data file has file and findings")


def _report(kind: ReportKind, path: str, data: str | None, words: dict[str, Any], note: Note) -> ReportPage:
    if kind is ReportKind.RUN:
        from coordspec.report.run import run_report  # noqa: PLC0415 (what the kind in question needs, and no more)
        from coordspec.train.logs import meaning  # noqa: PLC0415

        return run_report(path, meaning)
    options = ReportOptions(
        image_root=words["image_root"],
        max_images=words["max_images"],
        order=None if words["order"] is None else Order(words["order"]),
        side=words["thumbnail"],
        iou=words["iou"],
        categories=DEFAULTS.categories if words["categories"] is None else read_categories(words["categories"]),
        partial=words["partial"],
        max_line_bytes=words["max_line_bytes"],
    )
    if data is None:
        from coordspec.report.data import data_report  # noqa: PLC0415

        return data_report(path, options, note)
    from coordspec.report.predictions import predictions_report  # noqa: PLC0415 (numpy and scipy are of an extra)

    return predictions_report(path, data, options, note)
