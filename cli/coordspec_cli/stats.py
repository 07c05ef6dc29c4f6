"""``coordspec stats``: what is in contract files."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

import click
from rich.table import Table

from coordspec.checks.finding import CoordSpace
from coordspec.findings.visible import encodable, plural, shown
from coordspec.jsonl.inputs import expand_inputs
from coordspec.stats import collect
from coordspec_cli.main import EXIT_CLEAN, EXIT_FINDINGS
from coordspec_cli.options import coord_space_option, max_line_bytes_option
from coordspec_cli.progress import reading
from coordspec_cli.tables import Titled, show, titled

_BAR: Final = 30
_NAMED: Final = 3


@click.command("stats")
@click.argument("files", metavar="FILE...", nargs=-1, required=True)
@click.option(
    "--format",
    "form",
    type=click.Choice(["text", "json"]),
    default="text",
    show_default=True,
    help="Tables, or one JSON object; its keys are explained in `coordspec docs stats`.",
)
@coord_space_option("Read coordinates as bins or coord tokens, or as pixels.")
@max_line_bytes_option("a longer one is not usable.")
def command(files: tuple[str, ...], form: str, coord_space: str, max_line_bytes: int) -> int:
    """FILE is a file (.jsonl, .gz, .zst), a folder that holds such files, a glob, or - for standard input. All of them
    are counted together. Lines that break the contract at error level are left out and counted as unusable; the exit
    status is then 1.
    """
    paths = expand_inputs(files)
    with reading("counting", paths) as on_read:
        stats = collect(paths, CoordSpace(coord_space), max_line_bytes, on_read)
    value = {"files": list(map(encodable, paths)), **stats.value()}
    if form == "json":
        click.echo(json.dumps(value, indent=2))
    else:
        show(_tables(value))
    if stats.unusable:
        click.echo(f"note: {plural(stats.unusable, 'unusable line')} left out; {_hint(files, coord_space)}", err=True)
    return EXIT_FINDINGS if stats.unusable else EXIT_CLEAN


def _hint(files: Sequence[str], coord_space: str) -> str:
    option = "" if coord_space == CoordSpace.NORM1000 else f" --coord-space {coord_space}"
    named = " ".join([*map(shown, files[:_NAMED]), *["…"] * (len(files) > _NAMED)])
    return f"`coordspec validate{option} {named}` says what is wrong with them"


def _tables(value: Mapping[str, Any]) -> Iterator[Titled]:
    yield titled("Contents", ["", ""], _summary(value))
    if value["records"]:
        yield from _record_tables(value)
    if value["objects"]:
        yield from _object_tables(value)


def _record_tables(value: Mapping[str, Any]) -> Iterator[Titled]:
    sizes = [(f"{s['width']} x {s['height']}", s["records"]) for s in value["image_size"]["top"]]
    yield titled(f"Image sizes (the first {len(sizes)} by frequency)", ["size", "records"], sizes)
    counts = [(_between(b["from"], b["to"]), b["records"]) for b in value["objects_per_record"]["histogram"]]
    yield _histogram("Objects per record", "objects", counts)


def _object_tables(value: Mapping[str, Any]) -> Iterator[Titled]:
    shares = [(f"{100 * b['from']:g}% to {100 * b['to']:g}%", b["boxes"]) for b in value["box_area_share"]]
    yield _histogram("Boxes by share of the image's area", "of the image", shares)
    yield _histogram("Boxes by area in pixels (32 x 32, 96 x 96)", "size", list(value["box_pixel_area"].items()))
    descs = [(d["desc"], d["count"]) for d in value["descs"]["top"]]
    yield titled(f"Descriptions (the first {len(descs)} by frequency)", ["desc", "objects"], descs)


def _summary(value: Mapping[str, Any]) -> Iterator[tuple[str, str | int]]:
    per_record, size = value["objects_per_record"], value["image_size"]
    yield "files", len(value["files"])
    yield "coordinates read as", value["coord_space"]
    yield "records", value["records"]
    yield "unusable lines", value["unusable"]
    yield "negatives (no objects)", value["negatives"]
    yield "objects", value["objects"]
    if value["records"]:
        yield "objects per record", f"{per_record['min']} to {per_record['max']}, mean {per_record['mean']:.2f}"
        yield "image width", f"{size['width']['min']} to {size['width']['max']}"
        yield "image height", f"{size['height']['min']} to {size['height']['max']}"
    yield "distinct image sizes", _distinct(size)
    yield from ((f"objects with {name}", count) for name, count in value["geometry"].items())
    yield from ((f"objects in {form} coordinates", count) for form, count in value["coord_form"].items())
    yield "boxes without area", value["zero_area"]
    yield "distinct descriptions", _distinct(value["descs"])


def _distinct(counted: Mapping[str, Any]) -> str | int:
    distinct: int = counted["distinct"]
    if not counted["left_out"]:
        return distinct
    return f"more than {distinct:,}; {counted['left_out']:,} uses of later ones not counted"


def _between(low: int, high: int | None) -> str:
    if high is None:
        return f"{low} or more"
    return str(low) if low == high else f"{low} to {high}"


def _histogram(title: str, name: str, counts: Sequence[tuple[str, int]]) -> Titled:
    total, most = sum(n for _, n in counts), max(n for _, n in counts)
    made = Table(box=None, pad_edge=False)
    made.add_column(name, overflow="fold")
    for heading in ("count", "share"):
        made.add_column(heading, justify="right", overflow="fold")
    made.add_column("", overflow="fold")
    for label, count in counts:
        bar = "#" * -(-_BAR * count // most) if most else ""
        made.add_row(label, f"{count:,}", f"{count / total:.1%}" if total else "-", bar)
    return Titled(title, made)
