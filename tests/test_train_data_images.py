"""Images of a record: upright, RGB, of the size that the record says, within limits; or refused with their place."""

from __future__ import annotations

import io
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from coordspec.errors import ContractError, Place
from coordspec.record import Record
from coordspec.samples.images import ImageLimits, open_images, refuse_large

LIMITS = ImageLimits(max_pixels=10_000, max_bytes=50_000)
ORIENTATION = 0x0112
Open = Callable[..., list[Image.Image]]


def record(*images: str, width: int = 40, height: int = 30) -> Record:
    return Record(images, width, height, place=Place("train.jsonl", 3, byte_offset=9))


@pytest.fixture
def opened(tmp_path: Path) -> Open:
    def opened(*images: str, limits: ImageLimits = LIMITS, **size: int) -> list[Image.Image]:
        return open_images(record(*images, **size), tmp_path, limits)

    return opened


def save(path: Path, mode: str = "RGB", size: tuple[int, int] = (40, 30), **options: Any) -> Path:
    image = Image.effect_noise(size, 90).convert("L").convert(mode)
    image.save(path, **options)
    return path


@pytest.mark.parametrize(
    ("name", "mode"),
    [
        ("a.png", "RGB"),
        ("a.png", "L"),
        ("a.png", "P"),
        ("a.png", "1"),
        ("a.png", "RGBA"),
        ("a.jpg", "CMYK"),
        ("a.webp", "RGB"),
    ],
)
def test_every_mode_becomes_rgb(tmp_path: Path, opened: Open, name: str, mode: str) -> None:
    path = save(tmp_path / name, mode)
    (image,) = opened(name)
    assert (image.mode, image.size) == ("RGB", (40, 30))
    with Image.open(path) as stored:
        np.testing.assert_array_equal(np.array(image), np.array(stored.convert("RGB")))


def test_an_image_is_turned_as_its_exif_says(tmp_path: Path, opened: Open) -> None:
    pixels = Image.effect_noise((40, 30), 90).convert("RGB")
    exif = Image.Exif()
    exif[ORIENTATION] = 6  # turn by 90 degrees, clockwise
    pixels.save(tmp_path / "a.png", exif=exif)
    (image,) = opened("a.png", width=30, height=40)
    np.testing.assert_array_equal(np.array(image), np.rot90(np.array(pixels), -1))
    with pytest.raises(ContractError, match=r"its EXIF orientation turns it, which the size has to follow \(IMG003\)$"):
        opened("a.png")


def test_several_images_in_their_order(tmp_path: Path, opened: Open) -> None:
    for name, colour in (("a.png", "red"), ("b.png", "blue")):
        Image.new("RGB", (40, 30), colour).save(tmp_path / name)
    assert [image.getpixel((0, 0)) for image in opened("b.png", "a.png", "b.png")] == [
        (0, 0, 255),
        (255, 0, 0),
        (0, 0, 255),
    ]


def deep(path: Path) -> None:
    Image.fromarray(np.full((30, 40), 40_000, dtype=np.uint16)).save(path)


def cut(path: Path) -> None:
    stream = io.BytesIO()
    Image.effect_noise((40, 30), 90).convert("RGB").save(stream, "PNG")
    path.write_bytes(stream.getvalue()[:-400])


REFUSED: dict[str, tuple[Callable[[Path], object], str]] = {
    "missing": (lambda path: None, "does not exist under {root} (IMG001)"),
    "a folder": (lambda path: path.mkdir(), "does not exist as a file under {root} (IMG001)"),
    "no image": (lambda path: path.write_text("x"), "cannot be read: it is no image of a known format (IMG002)"),
    "another size": (lambda path: save(path, size=(41, 30)), "is 41×30, the record says 40×30 (IMG003)"),
    "more than 8 bits": (
        deep,
        "cannot be read: its channels have more than 8 bits (mode I;16), and converting them would clip (IMG002)",
    ),
}


@pytest.mark.parametrize("what", REFUSED)
def test_what_is_refused(tmp_path: Path, opened: Open, what: str) -> None:
    make, message = REFUSED[what]
    make(tmp_path / "a.png")
    with pytest.raises(ContractError) as raised:
        opened("a.png")
    assert str(raised.value) == f'train.jsonl:3: images[0]: the image "a.png" {message.format(root=tmp_path)}'


def test_a_file_that_is_cut(tmp_path: Path, opened: Open) -> None:
    """Its header is sound, so this shows only when it is decoded."""
    cut(tmp_path / "a.png")
    with pytest.raises(ContractError, match=r"images\[0\]: the image \"a\.png\" cannot be read: .*\(IMG002\)$"):
        opened("a.png")


@pytest.mark.parametrize("path", ["../a.png", "/a.png", "x/../../a.png", "C:/a.png", "http://h/a.png", " "])
def test_a_path_that_leaves_its_root(tmp_path: Path, opened: Open, path: str) -> None:
    """Records that were read obey this; a record that was built in memory may not."""
    save(tmp_path.parent / "a.png")
    with pytest.raises(ContractError, match=r"\(REC00[678]\)$"):
        opened(path)


def test_limits(tmp_path: Path, opened: Open) -> None:
    save(tmp_path / "a.png")
    size = (tmp_path / "a.png").stat().st_size
    assert opened("a.png", limits=ImageLimits(1200, size))
    for limits, reason in (
        (ImageLimits(1199, size), "it has 1200 pixels, and data.max_image_pixels is 1199"),
        (ImageLimits(1200, size - 1), f"the file has {size} bytes, and data.max_image_bytes is {size - 1}"),
    ):
        with pytest.raises(ContractError) as raised:
            opened("a.png", limits=limits)
        assert str(raised.value) == f'train.jsonl:3: images[0]: the image "a.png" cannot be read: {reason} (IMG002)'
        with pytest.raises(ContractError, match=reason):
            refuse_large(record("a.png"), tmp_path, limits)


def test_limits_come_before_pixels(tmp_path: Path, opened: Open, monkeypatch: pytest.MonkeyPatch) -> None:
    save(tmp_path / "a.png")

    def load(*_: object) -> None:
        raise AssertionError("pixels were read")

    monkeypatch.setattr(Image.Image, "load", load)
    with pytest.raises(ContractError, match=r"data\.max_image_pixels is 10 \(IMG002\)$"):
        opened("a.png", limits=ImageLimits(10, 50_000))


def test_an_image_that_vanishes(tmp_path: Path) -> None:
    with pytest.raises(ContractError, match=r"cannot be read: No such file or directory \(IMG002\)$"):
        refuse_large(record("a.png"), tmp_path, LIMITS)


def test_pillow_keeps_its_own_limit() -> None:
    assert Image.MAX_IMAGE_PIXELS == 89_478_485
