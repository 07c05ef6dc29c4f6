"""``coordspec guard``: were these targets built as the contract says?"""

from __future__ import annotations

from pathlib import Path

import click

from coordspec.jsonl.inputs import expand_inputs
from coordspec_cli.options import max_line_bytes_option
from coordspec_cli.reporting import ReportingCommand, chosen_reports, emit, report_options


@click.command("guard", cls=ReportingCommand)
@click.argument("files", metavar="FILE...", nargs=-1, required=True)
@click.option(
    "--tokenizer",
    type=click.Path(exists=True, path_type=Path),
    required=True,
    help="The tokenizer that the targets were built with: its folder, or the tokenizer.json in it.",
)
@max_line_bytes_option("a longer one is an error.")
@report_options
@click.pass_context
def command(ctx: click.Context, *, files: tuple[str, ...], tokenizer: Path, max_line_bytes: int) -> int:
    """FILE holds a dumped target a line (.jsonl, .gz, .zst, a folder, a glob, - for standard input). Ids are read back
    and compared with the ground truth, the rollout and the policy; nothing that built the target takes part.

    Exit status: 0 sound, 1 findings at error level, 2 wrong usage or unreadable input.
    """
    from coordspec.guard.files import check_files, load_table  # noqa: PLC0415 (what --help does not need)

    paths = expand_inputs(files)
    reports = chosen_reports(ctx, paths)
    return emit(reports, check_files(paths, load_table(tokenizer), max_line_bytes))
