"""``coordspec convert``: annotations of another format to a contract file."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import fields
from enum import StrEnum
from pathlib import Path
from typing import Any, TypeVar

import click
from click.core import ParameterSource

from coordspec.checks.paths import check_image_path
from coordspec.contracts import rule
from coordspec.convert import CONVERTERS, Converter, ConvertOptions
from coordspec.convert.counts import Tally
from coordspec.convert.options import (
    Crowd,
    Difficult,
    Duplicates,
    Expressions,
    Multipart,
    ObjectOrder,
    OutOfFrame,
    QwenCoords,
    VocOrigin,
    WrittenGeometry,
)
from coordspec.errors import InputError
from coordspec.jsonl.inputs import SUFFIXES
from coordspec.jsonl.output import STDOUT, open_output
from coordspec.jsonl.write import refuse_output
from coordspec.record import CoordForm
from coordspec_cli.options import output_options
from coordspec_cli.progress import counted, progress

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


def _text(name: str, metavar: str, text: str) -> Callable[[F], F]:
    """The option for the field ``name`` of ConvertOptions, a text that is empty where there is none."""
    return click.option(f"--{name.replace('_', '-')}", metavar=metavar, default=_DEFAULTS[name], help=text)


def _relative(_ctx: click.Context, _param: click.Parameter, value: str) -> str:
    for finding in check_image_path(value, ()) if value else ():
        raise click.BadParameter(rule(finding.rule).message.format_map(finding.values))
    return value


def _formats() -> str:
    return ", ".join(f"{converter.name} ({converter.help})" for converter in CONVERTERS.values())


def _takers(name: str) -> str:
    """The formats that take an option: ``odvg, yolo``."""
    return ", ".join(sorted(converter.name for converter in CONVERTERS.values() if name in converter.takes))


def _own(name: str, text: str) -> str:
    """The help of an option that only some formats take."""
    return f"{text} For {_takers(name)}."


@click.command(epilog=f"Formats: {_formats()}. Every option is explained in `coordspec docs convert`.")
@click.argument("name", metavar="FORMAT", type=click.Choice(list(CONVERTERS)))
@click.argument("source", metavar="SRC")
@output_options
@_setting("geometry", WrittenGeometry, _own("geometry", "Write boxes or outlines."))
@choice_option("--coords", kind=CoordForm, text="Write bins as integers or as coord tokens.", default=CoordForm.INT)
@_setting(
    "order", ObjectOrder, "ObjectOrder of objects: top to bottom then left to right, as in SRC, or largest first."
)
@_setting("crowd", Crowd, _own("crowd", "Regions that stand for a crowd: leave out, write their box, or stop."))
@_setting(
    "multipart",
    Multipart,
    _own("multipart", "Outlines that are no single polygon: write the box, the largest part, or stop."),
)
@_setting("duplicates", Duplicates, "Objects that repeat another one of their image.")
@_setting(
    "out_of_frame", OutOfFrame, "Geometry that leaves its image by more than a pixel: stop, or cut at the border."
)
@_setting("voc_origin", VocOrigin, _own("voc_origin", "The number of the first column and row of pixels."))
@_setting("difficult", Difficult, _own("difficult", "Objects marked as difficult: write them, or leave them out."))
@choice_option(
    "--qwen-coords",
    kind=QwenCoords,
    text=_own("qwen_coords", "Numbers are pixels (Qwen2.5-VL) or shares of 1000 (Qwen3-VL); has to be said."),
)
@_setting("expressions", Expressions, _own("expressions", "Write the first expression for an object, or each one."))
@_text("split", "NAME", _own("split", "Only this split, such as val; without it, all of them."))
@_text("instances", "FILE", _own("instances", "COCO instances; without it, instances.json beside SRC."))
@_text("classes", "FILE", _own("classes", "Names of the class numbers: .txt, .names, .yaml or .json."))
@_text("image_root", "DIR", _own("image_root", "Folder that image paths start in; without it, that of SRC."))
@click.option(
    "--image-prefix",
    metavar="DIR",
    default=_DEFAULTS["image_prefix"],
    callback=_relative,
    help="Folder to put before every image path, such as val2017.",
)
@click.option("--skip-empty", is_flag=True, help="Leave out images without objects (default: keep them as negatives).")
def command(*, name: str, source: str, out: str, overwrite: bool, coords: CoordForm, **settings: Any) -> None:
    """SRC is the annotation file, - for standard input; yolo and voc take a folder. The first fault of it stops the
    command, and OUT is then not written. What was left out or changed is counted on standard error.
    """
    converter = CONVERTERS[name]
    options = ConvertOptions(**settings)
    _refuse_idle(converter, options)
    _refuse_inputs(out, source, options, overwrite=overwrite)
    conversion = converter.convert(source, options)
    with open_output(out, overwrite=overwrite, source=source) as stream, progress("converting") as advance:
        for record in counted(conversion, advance):
            stream.write(record.line(coords).encode() + b"\n")
    report(out, conversion.counts)


def _refuse_idle(converter: Converter, options: ConvertOptions) -> None:
    """Raise UsageError for an option that would do nothing, or one that is missing."""
    context = click.get_current_context()
    given = {f.name for f in fields(options) if context.get_parameter_source(f.name) is ParameterSource.COMMANDLINE}
    own = {name for each in CONVERTERS.values() for name in each.takes}
    for name in sorted((given & own) - converter.takes):
        flag = f"--{name.replace('_', '-')}"
        raise click.UsageError(f"{flag} is about {_takers(name)}, and means nothing to {converter.name}; leave it out")
    for name in sorted(converter.needs - given):
        flag = f"--{name.replace('_', '-')}"
        raise click.UsageError(
            f"{converter.name} needs {flag}: nothing in a file says it; see `coordspec docs convert`"
        )
    if "multipart" in given and not options.outlines:
        raise click.UsageError("--multipart is about outlines; pass --geometry poly with it, or leave it out")


def _refuse_inputs(out: str, source: str, options: ConvertOptions, *, overwrite: bool) -> None:
    """Raise InputError if OUT is one of the files that are read beside or below SRC."""
    if out == STDOUT:
        return
    target = Path(out)
    beside = [name for name in (options.classes, options.instances) if name]
    refuse_output(target, overwrite=overwrite, sources=[source, *beside])
    below = Path(source).is_dir() and target.resolve().is_relative_to(Path(source).resolve())
    if below and target.exists() and not out.endswith(SUFFIXES):
        raise InputError(out, "stands in the folder that is being read; name another output")


def report(out: str, counts: Tally) -> None:
    """Say on standard error what was written, left out and changed."""
    click.echo(f"{'standard output' if out == STDOUT else out}:", err=True)
    for text, number in counts.report():
        click.echo(f"  {text}: {number}", err=True)
