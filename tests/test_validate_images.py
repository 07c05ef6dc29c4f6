"""Checks of image files: there, readable, of the size that the record says; a hostile file is a finding, no crash."""

from __future__ import annotations

import io
import json
import os
import random
import struct
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from coordspec.findings.outcome import Outcome
from coordspec.image_files import unreadable
from coordspec.validate.explain import ImageCheck, ValidateOptions
from coordspec.validate.run import Plan, validate_files

ORIENTATION = 0x0112
Check = Callable[..., list[tuple[str, str, str]]]


def line(*images: object, width: object = 40, height: object = 30) -> str:
    return json.dumps({"images": images, "width": width, "height": height, "objects": []})


def outcome_of(path: Path, *lines: str, root: Path | None = None, decode: bool = False) -> Outcome:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(text + "\n" for text in lines))
    return validate_files([str(path)], ValidateOptions(images=ImageCheck(root, decode))).outcome


@pytest.fixture
def check(tmp_path: Path) -> Check:
    """Rule, pointer and message of each finding on lines of ``tmp_path/a.jsonl``."""

    def check(*lines: str, **options: Any) -> list[tuple[str, str, str]]:
        outcome = outcome_of(tmp_path / "a.jsonl", *lines, **options)
        assert outcome.unreadable == ()
        return [(issue.name, issue.place.pointer or "", issue.message) for issue in outcome.issues]

    return check


@pytest.fixture
def good(tmp_path: Path) -> Path:
    """40 × 30 pixels."""
    path = tmp_path / "good.png"
    Image.new("RGB", (40, 30)).save(path)
    return path


def noise(kind: str = "JPEG", orientation: int | None = None) -> bytes:
    """40 × 30 pixels of noise, so that the file is long enough to be cut."""
    stream = io.BytesIO()
    exif = Image.Exif()
    if orientation is not None:
        exif[ORIENTATION] = orientation
    Image.effect_noise((40, 30), 90).convert("RGB").save(stream, kind, exif=exif)
    return stream.getvalue()


def png_of_size(width: int, height: int) -> bytes:
    """A PNG that says it is as large, and holds next to nothing."""
    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    chunks = [(b"IHDR", header), (b"IDAT", zlib.compress(b"\0")), (b"IEND", b"")]
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data)) for kind, data in chunks
    )


@pytest.mark.usefixtures("good")
@pytest.mark.parametrize("name", ["folder.png", "pipe.png", "good.png/a.png", "n" * 300 + ".png"])
def test_what_is_no_file_concerns_its_record_alone(name: str, check: Check, tmp_path: Path) -> None:
    """A pipe is not waited for, and a name that no file system takes is a finding like any other."""
    (tmp_path / "folder.png").mkdir()
    os.mkfifo(tmp_path / "pipe.png")
    ((rule, at, message),) = check(line(name), line("good.png"))
    assert (rule, at) == ("image-missing", "/images/0")
    if name in ("folder.png", "pipe.png"):
        assert message == f'the image "{name}" does not exist as a file under {tmp_path}'


def test_links(check: Check, good: Path, tmp_path: Path) -> None:
    (tmp_path / "link.png").symlink_to(good)
    (tmp_path / "dangling.png").symlink_to("nowhere")
    (tmp_path / "loop.png").symlink_to("loop.png")
    found = check(line("link.png", "dangling.png", "loop.png"))
    assert [(name, at) for name, at, _ in found] == [("image-missing", "/images/1"), ("image-missing", "/images/2")]


def test_a_lone_surrogate_in_a_path(check: Check) -> None:
    found = {name for name, _, _ in check(line("\ud83d.png", "\udcff.png"))}
    assert found == {"lone-surrogate", "image-missing"}


@pytest.mark.parametrize("data", [b"", b"this is no image", b"\x89PNG\r\n\x1a\n", b"\xff\xd8\xff"])
def test_broken(data: bytes, check: Check, tmp_path: Path) -> None:
    (tmp_path / "a.png").write_bytes(data)
    ((name, at, message),) = check(line("a.png"))
    assert (name, at) == ("image-unreadable", "/images/0")
    assert message.startswith('the image "a.png" cannot be read: ')
    if b"no image" in data:
        assert message == 'the image "a.png" cannot be read: it is no image of a known format'


@pytest.mark.parametrize("kind", ["JPEG", "PNG"])
def test_a_truncated_image_is_found_by_decoding_alone(kind: str, check: Check, tmp_path: Path) -> None:
    """Without --decode-images, headers are read and pixels are not: that is what makes it fast."""
    data = noise(kind)
    (tmp_path / "a.img").write_bytes(data[: len(data) // 2])
    assert check(line("a.img")) == []
    ((name, at, message),) = check(line("a.img"), decode=True)
    assert (name, at) == ("image-unreadable", "/images/0")
    assert message.startswith('the image "a.img" cannot be read: image file is truncated')


@pytest.mark.usefixtures("good")
@pytest.mark.parametrize("width", ["40", 40.0, 0, -40, None, True])
def test_no_size_to_compare_with(width: object, check: Check) -> None:
    """A width that is none has a finding of its own, and a second one on the image would say nothing new."""
    assert {name for name, _, _ in check(line("good.png", width=width))} in ({"wrong-type"}, {"bad-size"})


@pytest.mark.parametrize("orientation", [None, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9])
def test_exif_orientation(orientation: int | None, check: Check, tmp_path: Path) -> None:
    """The size is that of the picture as it is seen; half of the orientations turn it by 90 degrees."""
    (tmp_path / "a.jpg").write_bytes(noise(orientation=orientation))
    upright, turned = line("a.jpg"), line("a.jpg", width=30, height=40)
    if orientation in (5, 6, 7, 8):
        message = (
            'the image "a.jpg" is 30×40, the record says 40×30; its EXIF orientation turns it, '
            "which the size has to follow"
        )
        assert check(turned) == []
        assert check(upright) == [("image-size-mismatch", "/images/0", message)]
    else:
        message = 'the image "a.jpg" is 40×30, the record says 30×40'
        assert check(upright) == []
        assert check(turned) == [("image-size-mismatch", "/images/0", message)]


def test_a_turned_image_of_another_size(check: Check, tmp_path: Path) -> None:
    (tmp_path / "a.jpg").write_bytes(noise(orientation=6))
    message = 'the image "a.jpg" is 30×40, the record says 100×100'
    assert check(line("a.jpg", width=100, height=100)) == [("image-size-mismatch", "/images/0", message)]


@pytest.mark.parametrize("decode", [False, True])
def test_a_decompression_bomb_is_not_unpacked(decode: bool, check: Check, tmp_path: Path) -> None:
    (tmp_path / "bomb.png").write_bytes(png_of_size(60_000, 60_000))
    ((name, _, message),) = check(line("bomb.png", width=60_000, height=60_000), decode=decode)
    assert name == "image-unreadable"
    assert message.startswith('the image "bomb.png" cannot be read: Image size (3600000000 pixels) exceeds limit of')


def test_a_large_image_is_no_bomb(check: Check, tmp_path: Path) -> None:
    """Pillow warns from 89 million pixels on; a photo may have as many."""
    (tmp_path / "a.png").write_bytes(png_of_size(12_000, 10_000))
    assert check(line("a.png", width=12_000, height=10_000)) == []


@pytest.mark.usefixtures("good")
def test_several_images_in_one_record(check: Check, tmp_path: Path) -> None:
    Image.new("L", (10, 10)).save(tmp_path / "small.png")
    found = check(line("good.png", "nothing.png", "small.png", "good.png"))
    assert [(name, at) for name, at, _ in found] == [
        ("image-missing", "/images/1"),
        ("image-size-mismatch", "/images/2"),
    ]


@pytest.mark.usefixtures("good")
def test_paths_with_a_finding_of_their_own_are_not_opened(
    check: Check, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nothing outside of the root is touched, and nothing with a NUL in its name."""
    Image.new("RGB", (5, 5)).save(tmp_path.parent / "outside.png")
    opened: list[str] = []
    monkeypatch.setattr(Image, "open", lambda file: opened.append(str(file)))
    monkeypatch.setattr(Path, "is_file", lambda file: opened.append(str(file)) or False)
    paths = ["good.png\0.txt", "../outside.png", str(tmp_path / "good.png"), "C:/good.png", "", " ", 5, None]
    outcome = list(_findings(paths, tmp_path))
    assert opened == []
    assert outcome == []


def _findings(paths: list[object], root: Path) -> list[Any]:
    from coordspec.validate.images import check_images

    return list(check_images({"images": paths, "width": 40, "height": 30}, ImageCheck(root)))


@pytest.mark.parametrize("value", [[], {}, {"images": None}, {"images": "a.png"}, {"images": {"a": 1}}, None, 5, "x"])
def test_records_without_images(value: object) -> None:
    from coordspec.validate.images import check_images

    assert list(check_images(value, ImageCheck(Path()))) == []


def test_the_root_is_the_folder_of_each_file(good: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir("/")
    for folder in ("one", "two/deep"):
        (tmp_path / folder / "images").mkdir(parents=True)
        (tmp_path / folder / "images/a.png").write_bytes(good.read_bytes())
    paths = [tmp_path / "one/a.jsonl", tmp_path / "two/deep/a.jsonl", tmp_path / "a.jsonl"]
    for path in paths:
        path.write_text(line("images/a.png") + "\n")
    for jobs in (1, 2):
        options = ValidateOptions(images=ImageCheck())
        outcome = validate_files([str(path) for path in paths], options, Plan(jobs=jobs)).outcome
        assert [(issue.name, issue.place.path) for issue in outcome.issues] == [("image-missing", str(paths[2]))]


def test_options_of_the_command(coordspec: Callable[..., Any], good: Path, tmp_path: Path) -> None:
    data = noise()
    (tmp_path / "cut.jpg").write_bytes(data[: len(data) // 2])
    (tmp_path / "labels").mkdir()
    (tmp_path / "labels/a.jsonl").write_text(line("good.png") + "\n" + line("cut.jpg") + "\n")
    table = [
        ([], {}),
        (["--check-images"], {"image-missing": 2}),
        (["--check-images", "--image-root", "."], {}),
        (["--decode-images", "--image-root", "."], {"image-unreadable": 1}),
        (["--check-images", "--decode-images", "--image-root", tmp_path], {"image-unreadable": 1}),
        (["--check-images", "--ignore", "IMG"], {}),
    ]
    for options, rules in table:
        done = coordspec("validate", "labels/a.jsonl", "--format", "json", *options)
        assert json.loads(done.out)["summary"]["by_rule"] == rules, options
        assert done.status == bool(rules)
        assert done.err == ""


# ------------------------------------------------------------------------------------------------------ hostile images


def encoded(kind: str) -> bytes:
    stream = io.BytesIO()
    exif = Image.Exif()
    exif[ORIENTATION] = 6
    options = {"exif": exif} if kind in ("PNG", "JPEG", "WEBP", "TIFF") else {}
    Image.radial_gradient("L").resize((24, 16)).convert("F" if kind == "SPIDER" else "RGB").save(
        stream, kind, **options
    )
    return stream.getvalue()


def unknown_pixel_format() -> bytes:
    data = bytearray(encoded("DDS"))
    data[80:84] = struct.pack("<I", 1 << 30)  # DDS_PIXELFORMAT.dwFlags
    return bytes(data)


def broken_avif() -> bytes:
    data = encoded("AVIF")
    at = data.rindex(b"mdat") + 4
    return data[:at] + b"\xff" * (len(data) - at)


def spider_of_a_stack() -> bytes:
    data = bytearray(encoded("SPIDER"))
    data[26 * 4 : 27 * 4] = struct.pack("<f", 1)  # imgnumber: an image of a stack whose offset nothing says
    return bytes(data)


BROKEN_INSIDE = {"DDS": unknown_pixel_format, "AVIF": broken_avif, "SPIDER": spider_of_a_stack}


@pytest.mark.parametrize("kind", BROKEN_INSIDE)
def test_what_a_decoder_cannot_do_is_a_finding(kind: str, check: Check, tmp_path: Path) -> None:
    """Pillow raises more than OSError: NotImplementedError, RuntimeError, AttributeError, …"""
    if kind == "AVIF" and "AVIF" not in Image.SAVE:
        pytest.skip("this Pillow reads no AVIF")
    (tmp_path / "a.img").write_bytes(BROKEN_INSIDE[kind]())
    assert [name for name, _, _ in check(line("a.img"), decode=True)] == ["image-unreadable"]


@pytest.mark.parametrize("size", [1 << 40, 1 << 62, (1 << 64) - 1])
def test_a_box_of_more_bytes_than_there_is_memory(size: int, check: Check, tmp_path: Path) -> None:
    data = encoded("JPEG2000")
    at = data.index(b"jp2h") - 4
    (tmp_path / "a.jp2").write_bytes(data[:at] + struct.pack(">I4sQ", 1, b"jp2h", size) + data[at + 8 :])
    assert [name for name, _, _ in check(line("a.jp2"))] == ["image-unreadable"]
    assert unreadable(MemoryError()) == "it asks for more memory than there is"


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "GIF", "BMP", "TIFF", "WEBP", "DDS", "TGA", "ICO", "JPEG2000"])
def test_no_damage_to_an_image_is_a_crash(kind: str, tmp_path: Path) -> None:
    rng = random.Random(kind)
    original = encoded(kind)
    found: set[str] = set()
    names = []
    for number in range(150):
        data = bytearray(original)
        for _ in range(rng.choice((1, 2, 8))):
            at = rng.randrange(min(len(data), 200))
            data[at] = rng.choice((0, 1, 255, rng.randrange(256)))
        if rng.random() < 0.2:
            del data[rng.randrange(len(data)) :]
        names.append(f"{number}.img")
        (tmp_path / names[-1]).write_bytes(data)
    for decode in (False, True):
        outcome = outcome_of(tmp_path / "a.jsonl", *map(line, names), decode=decode)
        assert (outcome.records, outcome.unreadable) == (len(names), ())
        found |= outcome.by_rule.keys()
    assert found <= {"image-unreadable", "image-size-mismatch"}
    assert found


def test_no_postscript_is_ever_run(check: Check, tmp_path: Path) -> None:
    """Pillow gives EPS files to Ghostscript when it decodes them."""
    Image.new("RGB", (8, 8)).save(tmp_path / "a.eps")
    message = 'the image "a.eps" cannot be read: EPS is a program and not an image of pixels; it is not run'
    for decode in (False, True):
        assert check(line("a.eps"), decode=decode) == [("image-unreadable", "/images/0", message)]
