"""``coordspec coords``: a contract file between pixels, integer bins and coord tokens."""

from __future__ import annotations

import click

from coordspec.convert.coords import CoordKind, recode_lines
from coordspec.errors import ContractError
from coordspec.jsonl.output import STDOUT, open_output
from coordspec_cli.convert import choice_option
from coordspec_cli.options import max_line_bytes_option, output_options
from coordspec_cli.progress import reading

_PIXEL_SIGNS = ("coord-range", "coord-type")
_FROM_HELP = "The form of the coordinates in IN. Only pixel has to be said; integers and tokens tell themselves apart."


@click.command(epilog="How the three forms relate is written in `coordspec docs convert`.")
@click.argument("source", metavar="IN")
@choice_option("--from", "from_", kind=CoordKind, text=_FROM_HELP)
@choice_option("--to", kind=CoordKind, text="The form of the coordinates in OUT.", required=True)
@output_options
@max_line_bytes_option("a longer one stops the command.")
def command(
    *, source: str, from_: CoordKind | None, to: CoordKind, out: str, overwrite: bool, max_line_bytes: int
) -> None:
    """IN is a .jsonl file (also .gz, .zst; - for standard input). Everything but the coordinates is carried over. The
    first line that breaks the contract stops the command, and OUT is then not written.
    """
    if from_ is to is CoordKind.PIXEL:
        raise click.UsageError("--from pixel --to pixel changes nothing; name another form for --to")
    records = 0
    try:
        with open_output(out, overwrite=overwrite, source=source) as stream, reading("turning", [source]) as on_read:
            for line in recode_lines(source, from_, to, max_line_bytes, on_read):
                stream.write(line.encode() + b"\n")
                records += 1
    except ContractError as error:
        if from_ is None and any(issue.name in _PIXEL_SIGNS for issue in error.issues):
            click.echo("note: if the coordinates are pixels, pass --from pixel", err=True)
        raise
    written = "standard output" if out == STDOUT else out
    click.echo(f"{written}: {records} records, {from_ or 'bins and tokens'} to {to}", err=True)
