"""``coordspec export``: contract files and prediction files to the formats of other tools."""

from __future__ import annotations

from pathlib import Path

import click

from coordspec.errors import InputError
from coordspec.evaluate.categories import Categories, read_categories
from coordspec.evaluate.join import join
from coordspec.export.coco import coco_instances
from coordspec.export.coco_results import Instances, ResultOptions, coco_results
from coordspec.export.counts import CocoCounts, LabelStudioCounts, ResultCounts
from coordspec.export.label_studio import LOCAL_FILES, ExportSample, label_studio_tasks, labeling_config, samples_of
from coordspec.export.write import write_list, write_lists
from coordspec.jsonl.inputs import STDIN
from coordspec.jsonl.output import STDOUT, open_output
from coordspec.jsonl.write import refuse_output, write_whole
from coordspec.predictions.files import read_predictions
from coordspec.predictions.record import Prediction
from coordspec.record import Record, all_records
from coordspec_cli.convert import report
from coordspec_cli.options import json_output_options, max_line_bytes_option
from coordspec_cli.progress import counted, progress, reading

_LONGER = "a longer one stops the command."
_prefix_option = click.option(
    "--image-prefix",
    metavar="DIR",
    default="",
    help="Folder that every image path starts with and no file name of COCO; what convert put there.",
)


@click.group("export", epilog="What each format cannot hold is written in `coordspec docs export`.")
def command() -> None:
    pass


@command.command("coco")
@click.argument("data", metavar="DATA")
@json_output_options
@_prefix_option
@max_line_bytes_option(_LONGER)
def coco_command(*, data: str, out: str, overwrite: bool, image_prefix: str, max_line_bytes: int) -> None:
    """Turn a contract file into COCO instances.

    DATA is a .jsonl file (also .gz, .zst; - for standard input). The first fault of it stops the command, and OUT is
    then not written. What was left out is counted on standard error.
    """
    counts = CocoCounts()
    document = coco_instances(_records(data, max_line_bytes), counts, image_prefix)
    with open_output(out, overwrite=overwrite, source=data) as stream, progress("writing", unit="entries") as advance:
        write_lists(stream, {name: counted(items, advance) for name, items in document.items()})
    report(out, counts)


@command.command("coco-results")
@click.argument("preds", metavar="PREDS")
@click.option(
    "--instances", metavar="FILE", required=True, help="COCO instances with the ids of images and categories."
)
@json_output_options
@_prefix_option
@click.option("--categories", metavar="TABLE", help="JSON or YAML mapping from descs to categories; others stay.")
@click.option(
    "--default-score",
    type=click.FloatRange(0, 1),
    metavar="X",
    help="Score of objects that have none; without it, they stop the command.",
)
@max_line_bytes_option(_LONGER)
def coco_results_command(
    *,
    preds: str,
    instances: str,
    out: str,
    overwrite: bool,
    image_prefix: str,
    categories: str | None,
    default_score: float | None,
    max_line_bytes: int,
) -> None:
    """Turn a prediction file into COCO results.

    PREDS is a prediction file (.jsonl, .gz, .zst; - for standard input). The first fault of it stops the command, and
    OUT is then not written. What was left out is counted on standard error.
    """
    _refuse_inputs(out, [instances, *([categories] if categories else [])], overwrite=overwrite)
    table = Categories() if categories is None else read_categories(categories)
    predictions = _predictions(preds, max_line_bytes)
    known = Instances.open(instances, table)
    counts = ResultCounts()
    options = ResultOptions(image_prefix, table, default_score)
    with open_output(out, overwrite=overwrite, source=preds) as stream, progress("writing", unit="entries") as advance:
        write_list(stream, counted(coco_results(predictions, known, options, counts), advance))
    report(out, counts)


@command.command("label-studio")
@click.option("--data", metavar="DATA", help="Contract file, whose objects become annotations.")
@click.option("--predictions", "preds", metavar="PREDS", help="Prediction file, whose objects become predictions.")
@json_output_options
@click.option(
    "--url-prefix",
    metavar="URL",
    default=LOCAL_FILES,
    show_default=True,
    help="What the address of every image starts with, before its path.",
)
@click.option(
    "--labeling-config", "config", metavar="FILE", help="File to write the labeling config of the project to, too."
)
@max_line_bytes_option(_LONGER)
def label_studio_command(
    *,
    data: str | None,
    preds: str | None,
    out: str,
    overwrite: bool,
    url_prefix: str,
    config: str | None,
    max_line_bytes: int,
) -> None:
    """Turn a contract file, a prediction file or both into tasks of Label Studio.

    With both, a task has the annotations of a record and the predictions for it. The first fault stops the command,
    and nothing is then written. What was left out is counted on standard error.
    """
    sources = [source for source in (data, preds) if source is not None]
    if not sources:
        raise click.UsageError("name a contract file with --data, a prediction file with --predictions, or both")
    if sources.count(STDIN) > 1:
        raise click.UsageError("only one of --data and --predictions can be standard input")
    _refuse_inputs(out, sources, overwrite=overwrite)
    if config is not None and (config == STDOUT or Path(config).absolute() == Path(out).absolute()):
        raise click.UsageError("--labeling-config needs a file of its own")
    counts = LabelStudioCounts()
    samples = _samples(data, preds, counts, max_line_bytes)
    with open_output(out, overwrite=overwrite, source=STDIN) as stream:
        with progress("writing", len(samples)) as advance:
            write_list(stream, counted(label_studio_tasks(samples, counts, url_prefix), advance))
        if config is not None:
            with write_whole(Path(config), overwrite=overwrite, sources=sources) as xml:
                xml.write(labeling_config(samples, counts).encode())
    report(out, counts)


def _samples(data: str | None, preds: str | None, counts: LabelStudioCounts, max_line_bytes: int) -> list[ExportSample]:
    predictions = () if preds is None else _predictions(preds, max_line_bytes)
    if data is None:
        return [ExportSample(None, item) for item in predictions]
    records = _records(data, max_line_bytes)
    if preds is None:
        return [ExportSample(record, None) for record in records]
    return samples_of(join(records, predictions), counts)


def _records(data: str, max_line_bytes: int) -> list[Record]:
    with reading("reading data", [data]) as on_read:
        records = all_records(data, max_line_bytes, on_read)
    if not records:
        raise InputError(data, "holds no record, so there is nothing to export")
    return records


def _predictions(preds: str, max_line_bytes: int) -> tuple[Prediction, ...]:
    with reading("reading predictions", [preds]) as on_read:
        return read_predictions(preds, max_line_bytes, on_read).predictions


def _refuse_inputs(out: str, sources: list[str], *, overwrite: bool) -> None:
    """Raise InputError if OUT is one of the files that are read."""
    if out != STDOUT:
        refuse_output(Path(out), overwrite=overwrite, sources=[source for source in sources if source != STDIN])
