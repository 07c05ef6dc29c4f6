"""``coordspec shapes``: the embedded data set."""

from __future__ import annotations

from pathlib import Path

import click

from coordspec.record import CoordForm
from coordspec.shapes.dataset import MAX_IMAGES, DatasetSpec, ShapeGeometry, SplitSummary, write_dataset
from coordspec.shapes.scene import MAX_SHAPES, MAX_SIDE, MIN_SIDE, SceneSpec

_SCENE = SceneSpec()
_COUNT = click.IntRange(1, MAX_IMAGES)
_SIDE = click.IntRange(MIN_SIDE, MAX_SIDE)


@click.command("shapes")
@click.option("-o", "--output", "folder", required=True, metavar="DIR", help="Folder to write; it is made if missing.")
@click.option("--train", type=_COUNT, default=1000, show_default=True, help="Images of the train split.")
@click.option("--val", type=_COUNT, default=100, show_default=True, help="Images of the val split.")
@click.option("--width", type=_SIDE, default=_SCENE.width, show_default=True, help="Width of every image in pixels.")
@click.option("--height", type=_SIDE, default=_SCENE.height, show_default=True, help="Height of every image in pixels.")
@click.option(
    "--max-shapes",
    type=click.IntRange(1, MAX_SHAPES),
    default=_SCENE.max_shapes,
    show_default=True,
    help="The most shapes of one image; images have from 1 up to as many.",
)
@click.option(
    "--empty-share",
    type=click.FloatRange(0, 1),
    default=_SCENE.empty_share,
    show_default=True,
    help="Share of the images that show no shape, as negatives.",
)
@click.option("--seed", type=int, default=0, show_default=True, help="The same seed gives the same data set.")
@click.option(
    "--coords",
    type=click.Choice([form.value for form in CoordForm]),
    default=CoordForm.INT.value,
    show_default=True,
    help="Write bins as integers or as coord tokens.",
)
@click.option(
    "--geometry",
    type=click.Choice([geometry.value for geometry in ShapeGeometry]),
    default=ShapeGeometry.BBOX.value,
    show_default=True,
    help="Annotate boxes (bbox_2d) or outlines (poly).",
)
@click.option("--overwrite", is_flag=True, help="Write into a folder that is not empty; replaces files of equal names.")
def command(
    *,
    folder: str,
    train: int,
    val: int,
    width: int,
    height: int,
    max_shapes: int,
    empty_share: float,
    seed: int,
    coords: str,
    geometry: str,
    overwrite: bool,
) -> None:
    """Writes DIR/train.jsonl, DIR/val.jsonl and the images under DIR/images. An image depends on the seed, its split
    and its number alone, so a larger set starts with the same images.
    """
    try:
        scenes = SceneSpec(width, height, max_shapes, empty_share)
    except ValueError as error:  # what a range of click lets through: nan
        raise click.UsageError(str(error)) from error
    spec = DatasetSpec({"train": train, "val": val}, seed, scenes, CoordForm(coords), ShapeGeometry(geometry))
    for summary in write_dataset(Path(folder), spec, overwrite=overwrite):
        click.echo(_sentence(folder, summary))


def _sentence(folder: str, done: SplitSummary) -> str:
    file = click.format_filename(Path(folder) / f"{done.split}.jsonl")
    return f"{file}: {_count(done.images, 'image')}, {_count(done.objects, 'object')}, {done.empty} without objects"


def _count(number: int, noun: str) -> str:
    return f"{number:,} {noun}" if number == 1 else f"{number:,} {noun}s"
