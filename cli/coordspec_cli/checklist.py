"""``coordspec checklist``: what a trained checkpoint is checked for."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import click

from coordspec.findings.visible import encodable, shown
from coordspec.infer.options import Limits
from coordspec_cli.checkpoints import answering_options, infer_options_of, opening_of, source_of
from coordspec_cli.main import EXIT_CLEAN, EXIT_FINDINGS
from coordspec_cli.progress import stages
from coordspec_cli.tables import show as show_tables
from coordspec_cli.tables import titled

if TYPE_CHECKING:
    from coordspec.infer.checklist import ChecklistReport

_SHARE: Final = click.FloatRange(0, 1)
_LIMITS: Final = Limits()
_TEXT_CHARS: Final = 400


def _limit(name: str, default: float, text: str) -> Callable[[Any], Any]:
    return click.option(name, type=_SHARE, default=default, show_default=True, metavar="SHARE", help=text)


@click.command("checklist", epilog="Every item is explained in `coordspec docs checklist`.")
@click.argument("checkpoint", metavar="CKPT", type=click.Path(path_type=Path))
@click.argument("data", metavar="DATA")
@_limit("--min-strict", _LIMITS.strict, "Least share of outputs that are strict JSON in the payload's form.")
@_limit("--min-ended", _LIMITS.ended, "Least share of outputs that the model ended itself.")
@_limit("--min-unimodal", _LIMITS.unimodal, "Least share of coordinate slots with a unimodal distribution.")
@_limit("--max-undercoverage", _LIMITS.undercoverage, "How far a central interval may cover less than its mass.")
@_limit("--min-coord-mass", _LIMITS.coord_mass, "Least mean mass on coord tokens at coordinate slots.")
@click.option(
    "--show", type=click.IntRange(min=0), default=3, show_default=True, metavar="N", help="Show the first N outputs."
)
@click.option(
    "--format",
    "form",
    type=click.Choice(["table", "json"]),
    default="table",
    show_default=True,
    help="Tables, or one JSON object.",
)
@answering_options
def command(
    *,
    checkpoint: Path,
    data: str,
    min_strict: float,
    min_ended: float,
    min_unimodal: float,
    max_undercoverage: float,
    min_coord_mass: float,
    show: int,
    form: str,
    **words: Any,
) -> int:
    """CKPT is the folder of a checkpoint, DATA a contract file (.jsonl) that it was not trained on. Exit status 1: an
    item failed; the first record that speaks against it is named.
    """
    from coordspec.infer.checklist import run_checklist  # noqa: PLC0415
    from coordspec.infer.checkpoint import open_checkpoint  # noqa: PLC0415 (torch is loaded when it is needed)

    limits = Limits(min_strict, min_ended, min_unimodal, max_undercoverage, min_coord_mass)
    options = infer_options_of(words)
    opened = open_checkpoint(checkpoint, opening_of(words))
    with stages() as note:
        report = run_checklist(opened, source_of(data, words), options, limits, note, show=show)
    if form == "json":
        click.echo(json.dumps(_value(report, str(checkpoint), data), indent=2))
    else:
        _tables(report)
    return EXIT_CLEAN if report.passed else EXIT_FINDINGS


def _value(report: ChecklistReport, checkpoint: str, data: str) -> Mapping[str, Any]:
    """The report as JSON; what is no number is null."""
    value = {
        "checkpoint": encodable(checkpoint),
        "data": encodable(data),
        "passed": report.passed,
        "records": report.records,
        "coordinates": report.coords,
        "items": [item.json() for item in report.items],
        "losses": report.losses,
        "calibration": report.calibration,
        "ended": report.ended,
        "outputs": [output.json() for output in report.outputs],
    }
    return json.loads(json.dumps(value), parse_constant=lambda _: None)  # type: ignore[no-any-return]


def _tables(report: ChecklistReport) -> None:
    calibration = report.calibration
    rows = [
        (f"{'✓' if item.passed else '✗'} {item.name}", _number(item.value), _number(item.limit))
        for item in report.items
    ]
    covered = [(f"within the central {row['mass']:.0%}", _number(row["covered"])) for row in calibration["coverage"]]
    best = [
        ("best temperature", _number(calibration["best_temperature"])),
        ("hard_ce there", _number(calibration["hard_ce_there"])),
    ]
    title = f"{report.records:,} records, {report.coords:,} coordinates"
    show_tables(
        [
            titled(title, ["item", "value", "limit"], rows),
            titled("loss parts", ["", ""], [(name, _number(value)) for name, value in report.losses.items()]),
            titled("calibration", ["", ""], [*covered, *best]),
            titled("outputs ended by", ["", ""], list(report.ended.items())),
        ]
    )
    for output in report.outputs:
        click.echo(f"\n{output.place}: {output.predicted} read, {output.annotated} annotated; ended by {output.ended}")
        click.echo(f"  {shown(output.text, _TEXT_CHARS)}")
    failed = [item for item in report.items if not item.passed]
    click.echo()
    for item in failed:
        first = f"; first record against it: {item.first}" if item.first is not None else ""
        click.echo(f"✗ {item.name}: {item.measured}: {_number(item.value)}, limit {_number(item.limit)}{first}")
    if not failed:
        click.echo(f"✓ all {len(report.items)} items passed")


def _number(value: float | None) -> str:
    return "-" if value is None or not math.isfinite(value) else f"{value:.4g}"
