"""``coordspec eval``: predictions against ground truth, in numbers."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import click

from coordspec.errors import InputError, Issue
from coordspec.evaluate.categories import read_categories
from coordspec.evaluate.options import DEFAULTS, EvalOptions
from coordspec.findings.visible import encodable, plural, sentence, shown, write_line
from coordspec.jsonl.inputs import STDIN
from coordspec.predictions.files import PredictionFile, read_predictions
from coordspec.record import all_records
from coordspec_cli.main import EXIT_CLEAN, EXIT_FINDINGS
from coordspec_cli.options import max_line_bytes_option
from coordspec_cli.progress import reading, stages
from coordspec_cli.tables import show, titled

if TYPE_CHECKING:
    from coordspec.evaluate.join import Joined
    from coordspec.evaluate.summary import Evaluation

_LISTED: Final = 5


@click.command("eval", epilog="Every number is explained in `coordspec docs eval`.")
@click.argument("preds", metavar="PREDS")
@click.argument("data", metavar="DATA")
@click.option("--categories", metavar="TABLE", help="JSON or YAML mapping from descs to categories; others stay.")
@click.option(
    "--format",
    "form",
    type=click.Choice(["table", "json", "md"]),
    default="table",
    show_default=True,
    help="Tables, one JSON object, or Markdown.",
)
@click.option(
    "--partial",
    is_flag=True,
    help="Evaluate the records that have a prediction alone; without it, one that is missing counts as empty.",
)
@click.option(
    "--bootstrap",
    "resamples",
    type=click.IntRange(min=0),
    default=DEFAULTS.resamples,
    show_default=True,
    metavar="N",
    help="Resamples of the images for intervals; 0 for none.",
)
@click.option(
    "--seed", type=click.IntRange(min=0), default=DEFAULTS.seed, show_default=True, help="Seed of the resamples."
)
@max_line_bytes_option("a longer one stops the command.")
def command(
    *,
    preds: str,
    data: str,
    categories: str | None,
    form: str,
    partial: bool,
    resamples: int,
    seed: int,
    max_line_bytes: int,
) -> int:
    """PREDS is a prediction file, DATA the contract file that it was made for, or a part of it (.jsonl, .gz, .zst; -
    for standard input). Exit status 1: predictions are missing, or belong to no record, and --partial was not given.
    """
    if preds == data == STDIN:
        raise click.UsageError("only one of PREDS and DATA can be standard input")
    if Path(preds).exists() and Path(data).exists() and Path(preds).samefile(data):
        raise click.UsageError("PREDS and DATA are one file; name the data file that the predictions were made for")
    table = DEFAULTS.categories if categories is None else read_categories(categories)
    options = EvalOptions(table, resamples, seed)
    with reading("reading predictions", [preds]) as on_read:
        file = read_predictions(preds, max_line_bytes, on_read)
    joined, evaluation = _evaluated(file, data, options, partial, max_line_bytes)
    run = None if file.run is None else file.run.value()
    value = {"predictions": encodable(preds), "data": encodable(data), "run": run, **evaluation.value()}
    _write(value, form)
    issues = [] if partial else joined.issues(data)
    for note in (*_listed(issues), *_notes(value)):
        click.echo(note, err=True)
    return EXIT_FINDINGS if issues else EXIT_CLEAN


def _evaluated(
    file: PredictionFile, data: str, options: EvalOptions, partial: bool, max_line_bytes: int
) -> tuple[Joined, Evaluation]:
    from coordspec.evaluate.join import join  # noqa: PLC0415 (numpy and scipy are of an extra)
    from coordspec.evaluate.summary import evaluate  # noqa: PLC0415

    with reading("reading data", [data]) as on_read:
        records = all_records(data, max_line_bytes, on_read)
    if not records:
        raise InputError(data, "holds no record, so there is nothing to evaluate")
    joined = join(records, file.predictions)
    used = joined.without_missing() if partial else joined
    if not used.records:
        raise InputError(file.path, f"holds no prediction for a record of {data}")
    with stages() as note:
        return joined, evaluate(used.records, used.predictions, options, strays=len(joined.strays), note=note)


def _write(value: Mapping[str, Any], form: str) -> None:
    from coordspec.evaluate.tables import markdown, sheets  # noqa: PLC0415 (only where there is something to show)

    if form == "json":
        click.echo(json.dumps(value, indent=2))
    elif form == "md":
        for line in markdown(sheets(value)).splitlines():
            write_line(sys.stdout, line)
    else:
        show(titled(title, columns, rows) for title, columns, rows in sheets(value))


def _listed(issues: Sequence[Issue]) -> Iterator[str]:
    """The first findings, one a line, and how many more there are."""
    for issue in issues[:_LISTED]:
        yield f"{shown(str(issue.place))}: {sentence(issue)} ({issue.code})"
    if len(issues) > _LISTED:
        yield f"… {plural(len(issues) - _LISTED, 'more finding')} of this kind"


def _notes(value: Mapping[str, Any]) -> Iterator[str]:
    """What a person has to know to read the numbers."""
    images = value["images"]
    if images["missing"]:
        yield f"note: {plural(images['missing'], 'record')} without a prediction counted as empty; see --partial"
    if images["stray_predictions"]:
        yield f"note: {plural(images['stray_predictions'], 'prediction')} for no record of DATA left out"
    for name in ("boxes", "polygons"):
        if value[name] is not None and value[name]["average_precision"] is None:
            yield f"note: no AP for {name}: {value[name]['average_precision_refused']}"
