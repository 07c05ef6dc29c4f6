"""``coordspec train``: from a config to a checkpoint."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import click

from coordspec.config.check import CheckOptions, check_config, outcome_of
from coordspec.config.show import show_yaml
from coordspec.errors import ContractError
from coordspec.findings.text import write_text
from coordspec_cli.main import EXIT_CLEAN, EXIT_FINDINGS
from coordspec_cli.reporting import write_issues
from coordspec_cli.train_console import Bar, Log, listener_of

if TYPE_CHECKING:
    from coordspec.train.run import Listener


@click.command("train", epilog="What is logged is explained in `coordspec docs metrics-losses`.")
@click.argument("file", metavar="CONFIG")
@click.option("--resume", is_flag=True, help="Go on from the newest checkpoint in training.output_dir.")
@click.option(
    "--dump-targets",
    metavar="DIR",
    type=click.Path(file_okay=False),
    help="Stage-2: write what every step trains on into DIR, for coordspec mask and coordspec guard.",
)
def command(*, file: str, resume: bool, dump_targets: str | None) -> int:
    """CONFIG alone decides; there are no other settings.

    CONFIG is checked in full first, then the data, and nothing is written before both are sound. On several GPUs or
    processes: torchrun --nproc-per-node N -m coordspec_cli train CONFIG.

    Exit status: 0 done, 1 the config or the data has errors, 2 something cannot be used, or the run had to stop.
    """
    # records are held to the contract by the run itself, all of them, and each finding has its own place
    checked = check_config(file, CheckOptions(records=False))
    if checked.config is None:
        write_text(outcome_of([file], [checked]), sys.stderr)
        return EXIT_FINDINGS
    from coordspec.ranks import FIRST, rank  # noqa: PLC0415 (torch is loaded when the config is known to be sound)
    from coordspec.train.run import train  # noqa: PLC0415

    with _listener(checked.config.logging.console and rank() == FIRST) as listener:
        try:
            resolved = show_yaml(checked.config, checked.resolved)
            dump = None if dump_targets is None else Path(dump_targets)
            result = train(checked.config, resolved, listener, resume=resume, dump_targets=dump)
        except ContractError as error:
            write_issues(error.issues, sys.stderr)
            return EXIT_FINDINGS
    if rank() != FIRST:
        return EXIT_CLEAN
    click.echo(f"{click.format_filename(result.final)}: trained for {result.steps} steps")
    if result.best is not None:
        click.echo(
            f"{click.format_filename(result.best)}: the best checkpoint, by {checked.config.eval.metric_for_best}"
        )
    for name, value in result.evaluation.items():
        click.echo(f"  {name:<32} {value:.4f}")
    return EXIT_CLEAN


@contextmanager
def _listener(console: bool) -> Iterator[Listener]:
    """A bar or lines on standard error; with ``console`` off, nothing."""
    from coordspec.train.run import Listener  # noqa: PLC0415

    if not console:
        yield Listener(lambda _: None, lambda *_: None, lambda _: None, lambda *_: None)
        return
    if not sys.stderr.isatty():
        yield listener_of(Log(sys.stderr))
        return
    from rich.console import Console  # noqa: PLC0415 (only for the bar)
    from rich.progress import (  # noqa: PLC0415
        BarColumn,
        MofNCompleteColumn,
        Progress,
        TextColumn,
        TimeElapsedColumn,
        TimeRemainingColumn,
    )

    columns = (
        TextColumn("{task.description}", markup=False), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn(),
        TimeRemainingColumn(),
    )  # fmt: skip
    with Progress(*columns, console=Console(stderr=True)) as bar:
        yield listener_of(Bar(bar, bar.add_task("starting", total=None)))
