"""``coordspec validate``: check contract files."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Final

import click

from coordspec.checks.finding import CoordSpace
from coordspec.contracts import rule_book
from coordspec.findings.outcome import MAX_LISTED
from coordspec.jsonl.inputs import MAX_LINE_BYTES, expand_inputs
from coordspec.jsonl.write import write_whole
from coordspec.own_schema import read_schema
from coordspec.validate.explain import ImageCheck, ValidateOptions
from coordspec.validate.run import Plan, baseline_text, input_bytes, read_baseline, validate_files
from coordspec_cli.main import EXIT_CLEAN
from coordspec_cli.options import coord_space_option, rule_options
from coordspec_cli.progress import progress
from coordspec_cli.reporting import ReportingCommand, chosen_reports, emit, report_options

_SMALL_BYTES: Final = 16 << 20  # below this a run is over before worker processes have paid for themselves


def _cpus() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


@click.command("validate", cls=ReportingCommand)
@click.argument("paths", nargs=-1, required=True, metavar="PATHS...")
@coord_space_option("What coordinates are: bins 0..999, or pixels within width and height (intermediate files).")
@click.option("--strict", is_flag=True, help="Take every warning as an error.")
@rule_options("data")
@click.option(
    "--schema",
    type=click.Path(dir_okay=False),
    metavar="FILE",
    help="JSON Schema 2020-12 of what you ask of a record beyond the contract, which it never weakens.",
)
@click.option("--check-images", is_flag=True, help="Look at the image files: there, readable, of the size stated.")
@click.option("--decode-images", is_flag=True, help="Read every pixel of them, to find truncated files. Slow.")
@click.option(
    "--image-root",
    type=click.Path(exists=True, file_okay=False, path_type=Path),
    help="Folder that image paths are relative to.  [default: the folder of each JSONL file]",
)
@click.option(
    "--max-errors",
    type=click.IntRange(min=1),
    default=MAX_LISTED,
    show_default=True,
    metavar="N",
    help="List at most N errors and N warnings. All are counted.",
)
@click.option(
    "--sample", type=click.IntRange(min=1), metavar="N", help="Check only N lines of each file, drawn at random."
)
@click.option(
    "--seed", type=int, default=0, show_default=True, help="Seed of --sample; the same seed draws the same lines."
)
@click.option(
    "--jobs",
    type=click.IntRange(min=1),
    metavar="N",
    help="Worker processes.  [default: one for each CPU, none for small inputs]",
)
@click.option("--max-line-bytes", type=click.IntRange(min=1), default=MAX_LINE_BYTES, show_default=True, metavar="N",
              help="Longest line that is read; a longer one is an error.")  # fmt: skip
@click.option("--statistics", is_flag=True, help="Print how often each rule was broken, and no single findings.")
@click.option(
    "--baseline",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="Known findings, as counts by file and rule: only what exceeds them is reported.",
)
@click.option(
    "--write-baseline",
    type=click.Path(dir_okay=False, path_type=Path),
    help="Write the findings of this run as a baseline, report nothing and exit with 0.",
)
@report_options
@click.pass_context
def command(
    ctx: click.Context,
    *,
    paths: tuple[str, ...],
    coord_space: str,
    strict: bool,
    select: frozenset[str],
    ignore: frozenset[str],
    schema: str | None,
    check_images: bool,
    decode_images: bool,
    image_root: Path | None,
    max_errors: int,
    sample: int | None,
    seed: int,
    jobs: int | None,
    max_line_bytes: int,
    statistics: bool,
    baseline: Path | None,
    write_baseline: Path | None,
) -> int:
    """PATHS are JSONL files, also .gz and .zst, folders that are searched for them, globs, or - for standard input.

    Exit status: 0 clean, 1 findings at error level, 2 wrong usage or unreadable input.
    """
    looks = check_images or decode_images
    if image_root is not None and not looks:
        raise click.UsageError("--image-root does nothing without --check-images")
    if not (rules := (select or frozenset(rule_book().about("data").by_name)) - ignore):
        raise click.UsageError("--select and --ignore leave no rule to check")
    files = expand_inputs(paths)
    reports = chosen_reports(ctx, [*files, *([str(baseline)] if baseline else [])])
    options = ValidateOptions(
        space=CoordSpace(coord_space),
        strict=strict,
        rules=rules,
        max_line_bytes=max_line_bytes,
        max_listed=max_errors,
        images=ImageCheck(image_root, decode_images) if looks else None,
        schema=None if schema is None else read_schema(schema),
    )
    size = input_bytes(files)
    known = read_baseline(baseline) if baseline else {}
    with progress("checking", size, "bytes") as advance:
        workers = jobs or (_cpus() if size > _SMALL_BYTES or looks else 1)
        result = validate_files(files, options, Plan(workers, sample, seed, known, advance))
    outcome = result.outcome
    if write_baseline is not None and not outcome.unreadable:
        return _write_baseline(write_baseline, result.counts, files)
    if statistics:
        notes = (*outcome.notes, "only counts were asked for (--statistics)")
        outcome = replace(outcome, issues=(), truncated=False, notes=notes)
    return emit(reports, outcome)


def _write_baseline(path: Path, counts: Mapping[str, Counter[str]], files: Sequence[str]) -> int:
    if path.exists():
        read_baseline(path)  # an older baseline may be replaced, any other file may not
    with write_whole(path, overwrite=True, sources=files) as stream:
        stream.write(baseline_text(counts).encode())
    known = sum(map(Counter.total, counts.values()))
    click.echo(f"{path}: {known} findings of {len(counts)} files written as the baseline", err=True)
    return EXIT_CLEAN
