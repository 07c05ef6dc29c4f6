"""``coordspec check-config``: all that is wrong with training configs."""

from __future__ import annotations

import click

from coordspec.config.check import CheckOptions, check_files
from coordspec.config.extends import config_files
from coordspec.contracts import rule_book
from coordspec_cli.options import rule_options
from coordspec_cli.reporting import ReportingCommand, chosen_reports, emit, report_options


@click.command("check-config", cls=ReportingCommand, epilog="Every rule is explained in `coordspec docs cfg`.")
@click.argument("files", nargs=-1, required=True, metavar="FILE...")
@click.option("--strict", is_flag=True, help="Take every warning as an error.")
@rule_options("config")
@click.option("--no-data", is_flag=True, help="Look at configs alone, and not at the files and folders they name.")
@report_options
@click.pass_context
def command(
    ctx: click.Context,
    *,
    files: tuple[str, ...],
    strict: bool,
    select: frozenset[str],
    ignore: frozenset[str],
    no_data: bool,
) -> int:
    """FILE is a config in YAML, or a folder that is searched for *.yaml and *.yml. What a config extends is read and
    checked with it. The first records of its data are held to the record contract.

    Exit status: 0 clean, 1 findings at error level, 2 wrong usage or a file that cannot be read.
    """
    if not (rules := (select or frozenset(rule_book().about("config").by_name)) - ignore):
        raise click.UsageError("--select and --ignore leave no rule to check")
    paths = config_files(files)
    reports = chosen_reports(ctx, paths)
    return emit(reports, check_files(paths, CheckOptions(rules=rules, strict=strict, data=not no_data)))
