"""``coordspec schema``: the files of the contract, as they are shipped."""

from __future__ import annotations

import click

from coordspec.contracts import contract_bytes, contract_files, did_you_mean


@click.command("schema", epilog=f"NAME is one of {', '.join(contract_files())}.")
@click.argument("name")
def command(name: str) -> None:
    """The forms of a training config, of a JSONL record and of the assistant payload are JSON Schemas; the rules and
    the other tables are YAML.
    """
    known = contract_files()
    if name not in known:
        raise click.UsageError(f"the contract has no {name!r}{did_you_mean(name, known)}; it has {', '.join(known)}")
    click.echo(contract_bytes(known[name]), nl=False)
