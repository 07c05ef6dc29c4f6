"""``coordspec convert``: annotations of another format to a contract file."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import fields
from enum import StrEnum
from typing import Any, TypeVar

import click
from click.core import ParameterSource

from coordspec.checks.paths import check_image_path
from coordspec.contracts import rule
from coordspec.convert import CONVERTERS, ConvertOptions, Counts
from coordspec.convert.options import Crowd, Duplicates, Geometry, Multipart, Order, OutOfFrame
from coordspec.jsonl.output import STDOUT, open_output
from coordspec.record import CoordForm
from coordspec_cli.options import output_options

F = TypeVar("F", bound=Callable[..., Any])
_DEFAULTS = {f.name: f.default for f in fields(ConvertOptions)}


def choice_option(
    *names: str, kind: type[StrEnum], text: str, default: StrEnum | None = None, required: bool = False
) -> Callable[[F], F]:
    """A click option whose value is a member of ``kind``."""
    # An explicit default of None would satisfy `required`.
    defaults: dict[str, Any] = {} if default is None else {"default": default.value, "show_default": True}
    return click.option(
        *names,
        **defaults,
        type=click.Choice([member.value for member in kind]),
        required=required,
        callback=lambda _ctx, _param, value: None if value is None else kind(value),
        help=text,
    )


def _setting(name: str, kind: type[StrEnum], text: str) -> Callable[[F], F]:
    """The option for the field ``name`` of ConvertOptions, with its default."""
    return choice_option(f"--{name.replace('_', '-')}", kind=kind, text=text, default=kind(str(_DEFAULTS[name])))


def _relative(_ctx: click.Context, _param: click.Parameter, value: str) -> str:
    for finding in check_image_path(value, ()) if value else ():
        raise click.BadParameter(rule(finding.rule).message.format_map(finding.values))
    return value


def _formats() -> str:
    return ", ".join(f"{converter.name} ({converter.help})" for converter in CONVERTERS.values())


@click.command(epilog=f"Formats: {_formats()}. Every option is explained in docs/data/CONVERT.md.")
@click.argument("name", metavar="FORMAT", type=click.Choice(list(CONVERTERS)))
@click.argument("source", metavar="SRC")
@output_options
@_setting("geometry", Geometry, "Write boxes or outlines.")
@choice_option("--coords", kind=CoordForm, text="Write bins as integers or as coord tokens.", default=CoordForm.INT)
@_setting("order", Order, "Order of objects: top to bottom then left to right, as in SRC, or largest first.")
@_setting("crowd", Crowd, "Regions that stand for a crowd: leave out, write their box, or stop.")
@_setting("multipart", Multipart, "Outlines that are no single polygon: write the box, the largest part, or stop.")
@_setting("duplicates", Duplicates, "Objects that repeat another one of their image.")
@_setting(
    "out_of_frame", OutOfFrame, "Geometry that leaves its image by more than a pixel: stop, or cut at the border."
)
@click.option(
    "--image-prefix",
    metavar="DIR",
    default=_DEFAULTS["image_prefix"],
    callback=_relative,
    help="Folder to put before every image path, such as val2017.",
)
@click.option("--skip-empty", is_flag=True, help="Leave out images without objects (default: keep them as negatives).")
def command(
    *,
    name: str,
    source: str,
    out: str,
    overwrite: bool,
    geometry: Geometry,
    coords: CoordForm,
    order: Order,
    crowd: Crowd,
    multipart: Multipart,
    duplicates: Duplicates,
    out_of_frame: OutOfFrame,
    image_prefix: str,
    skip_empty: bool,
) -> None:
    """Turn annotations of another format into a contract file.

    SRC is the annotation file, - for standard input. The first fault of it stops the command, and OUT is then not
    written. What was left out or changed is counted on standard error.
    """
    options = ConvertOptions(
        geometry=geometry,
        order=order,
        crowd=crowd,
        multipart=multipart,
        duplicates=duplicates,
        out_of_frame=out_of_frame,
        image_prefix=image_prefix,
        skip_empty=skip_empty,
    )
    _refuse_idle_multipart(geometry)
    conversion = CONVERTERS[name].convert(source, options)
    with open_output(out, overwrite=overwrite, source=source) as stream:
        for record in conversion:
            stream.write(record.line(coords).encode() + b"\n")
    _report(out, conversion.counts)


def _refuse_idle_multipart(geometry: Geometry) -> None:
    source = click.get_current_context().get_parameter_source("multipart")
    if geometry is Geometry.BBOX and source is ParameterSource.COMMANDLINE:
        raise click.UsageError("--multipart is about outlines; pass --geometry poly with it, or leave it out")


def _report(out: str, counts: Counts) -> None:
    click.echo(f"{'standard output' if out == STDOUT else out}:", err=True)
    for text, number in counts.report():
        click.echo(f"  {text}: {number}", err=True)
