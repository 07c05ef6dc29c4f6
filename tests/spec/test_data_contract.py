"""Bindings of ``openspec/specs/data-contract``."""

from __future__ import annotations

import contextlib
import json
from pathlib import Path

from PIL import Image
from spec_tools import BOX, GOOD, SOUND, coordspec, expect, folder, lines, record, validate, with_object

from coordspec.spec.binding import harness, scenario

# ------------------------------------------------------------------------------------------------- strict JSON lines


@harness("bad-line")
def bad_line(line: str, code: str, byte: int, message: str) -> None:
    done = validate(line)
    expect(done, code, message=message)
    assert done.report["issues"][0]["byte_offset"] == byte


@harness("bad-metadata")
def bad_metadata(metadata: str, code: str, message: str) -> None:
    expect(validate(json.dumps(SOUND)[:-1] + f', "metadata": {metadata}}}'), code, message=message)


@scenario("data-contract", "Strict JSON lines", "Bytes that are no UTF-8", digest="d292676b7f83")
def test_latin_1() -> None:
    done = validate(record(summary="café").replace("\\u00e9", "é").encode("latin-1") + b"\n")
    expect(done, "JSN002", message="not valid UTF-8: byte 0xE9 cannot be read (invalid continuation byte)")


@scenario("data-contract", "Strict JSON lines", "A byte order mark", digest="062ccd5280ba")
def test_byte_order_mark() -> None:
    done = validate(b"\xef\xbb\xbf" + lines(GOOD))
    expect(done, "JSN003", message="the line starts with a byte order mark (EF BB BF)")


@scenario("data-contract", "Strict JSON lines", "Depth", digest="d6a1ebd6d769")
def test_depth() -> None:
    for depth in (64, 65, 100_000):
        value = "[" * (depth - 2) + "]" * (depth - 2)  # the record and its metadata are the first two levels
        done = validate(json.dumps(SOUND)[:-1] + f', "metadata": {{"a": {value}}}}}')
        expect(done, None if depth == 64 else "JSN009", message="nested deeper than 64 levels")


@scenario("data-contract", "Strict JSON lines", "Length", digest="864cb58a7092")
def test_length() -> None:
    for limit, options in ((16_777_216, ()), (200, ("--max-line-bytes", 200))):
        fits = GOOD[:-1] + " " * (limit - len(GOOD)) + "}"
        assert len(fits) == limit
        expect(validate(fits, *options), None)
        message = f"the line is {limit + 1} bytes long, above the maximum {limit}"
        expect(validate(fits[:-1] + " }", *options), "JSN010", message=message)


@scenario("data-contract", "Strict JSON lines", "Digits", digest="18cb1c9b2cb0")
def test_digits() -> None:
    for digits in (4300, 4301):
        done = validate(json.dumps(SOUND)[:-1] + f', "metadata": {{"id": {"9" * digits}}}}}')
        expect(done, None if digits == 4300 else "JSN011")
    assert "has 4301 digits, more than JSON readers can hold (4300)" in done.findings[0][3]


@scenario("data-contract", "Strict JSON lines", "The next line is read", digest="b2b868ad2a71")
def test_the_next_line_is_read() -> None:
    done = validate(lines('{"images": [', "", GOOD))
    assert [issue["line"] for issue in done.report["issues"]] == [1, 2]
    assert (done.report["summary"]["records"], done.report["summary"]["valid"]) == (3, 1)


# ---------------------------------------------------------------------------------------------------- record fields


@harness("good-record")
def good_record(fields: dict[str, object]) -> None:
    expect(validate(record(**fields), "--strict"), None)


@harness("bad-record")
def bad_record(fields: dict[str, object], pointer: str, code: str, message: str | None = None) -> None:
    expect(validate(record(**fields)), code, pointer, message)


@scenario("data-contract", "Record fields", "A missing field", digest="5bcb46b66ca3")
def test_a_missing_field() -> None:
    for name in ("images", "width", "height", "objects"):
        line = json.dumps({key: value for key, value in SOUND.items() if key != name})
        expect(validate(line), "REC001", "", f"the required field {name} is missing")


@scenario("data-contract", "Record fields", "A negative image", digest="346c21dc2484")
def test_a_negative_image() -> None:
    with folder() as here:
        (here / "a.jsonl").write_bytes(lines(record(), GOOD))
        expect(coordspec("validate", "a.jsonl", "--format", "json", "--strict"), None)
        counts = coordspec("stats", "a.jsonl", "--format", "json").report
    assert (counts["records"], counts["negatives"]) == (2, 1)


@scenario("data-contract", "Record fields", "An unknown field", digest="a93c435baf3d")
def test_an_unknown_field() -> None:
    message = "the field sumary is not part of the contract (did you mean 'summary'?)"
    expect(validate(record(sumary="a cat")), "REC003", "/sumary", message, severity="warning")
    expect(validate(record(sumary="a cat"), "--strict"), "REC003", "/sumary", message)


# ------------------------------------------------------------------------------------------------------ image paths


@harness("good-path")
def good_path(path: str) -> None:
    expect(validate(record(images=[path]), "--strict"), None)


@harness("bad-path")
def bad_path(path: str, code: str, message: str) -> None:
    expect(validate(record(images=[path])), code, "/images/0", message)


# ---------------------------------------------------------------------------------------------------------- objects


@harness("bad-desc")
def bad_desc(desc: object, code: str, message: str | None = None) -> None:
    expect(validate(with_object({"desc": desc, "bbox_2d": BOX})), code, "/objects/0/desc", message)


@scenario("data-contract", "Objects", "Descriptions that are accepted", digest="1751566eb719")
def test_descriptions_that_are_accepted() -> None:
    for desc in ("x", "black cat", "碗", "naïve 🐈", "a < b | c > d", "cat <small>", "<||>"):
        expect(validate(with_object({"desc": desc, "bbox_2d": BOX}), "--strict"), None)


@harness("bad-object")
def bad_object(fields: dict[str, object], pointer: str, code: str, message: str) -> None:
    expect(validate(with_object(fields)), code, pointer, message)


@scenario("data-contract", "Objects", "A missing desc", digest="8a0f4d541f98")
def test_a_missing_desc() -> None:
    done = validate(record(objects=[{"bbox_2d": BOX}]))
    expect(done, "REC001", "/objects/0", "the required field desc is missing")


@harness("legacy-key")
def legacy_key(key: str, hint: str) -> None:
    done = validate(with_object({key: BOX}))
    expect(done, "OBJ006", f"/objects/0/{key}", f"{key} is a key of older formats")
    assert done.report["issues"][0]["hint"] == hint


@scenario("data-contract", "Objects", "An unknown key", digest="a227d7169cc7")
def test_an_unknown_key() -> None:
    done = validate(with_object({"bbox_2d": BOX, "score": 0.5}))
    expect(done, "REC003", "/objects/0/score", severity="warning")


@scenario("data-contract", "Objects", "The same object twice", digest="f6cdaeea7700")
def test_the_same_object_twice() -> None:
    cat, dog = {"desc": "cat", "bbox_2d": BOX}, {"desc": "dog", "bbox_2d": BOX}
    again = {"desc": "cat", "bbox_2d": [f"<|coord_{k}|>" for k in BOX]}
    done = validate(record(objects=[cat, dog, again]))
    expect(done, "DUP001", "/objects/2", "the same object stands at objects[0] already", severity="warning")


# --------------------------------------------------------------------------------------------------------- geometry


@harness("good-object")
def good_object(fields: dict[str, object]) -> None:
    expect(validate(with_object(fields), "--strict"), None)


@harness("warned-object")
def warned_object(fields: dict[str, object], pointer: str, code: str, message: str) -> None:
    expect(validate(with_object(fields)), code, pointer, message, severity="warning")


# ------------------------------------------------------------------------------------------------------ coordinates


@harness("bad-coordinate")
def bad_coordinate(value: object, index: int, code: str, message: str) -> None:
    box: list[object] = [1, 2, 900, 900]
    box[index] = value
    expect(validate(with_object({"bbox_2d": box})), code, f"/objects/0/bbox_2d/{index}", message)


@harness("bad-token")
def bad_token(value: str, code: str, message: str) -> None:
    box = ["<|coord_1|>", "<|coord_2|>", value, "<|coord_900|>"]
    done = validate(with_object({"bbox_2d": box}))
    message = message.replace("\n", "\\n")  # shown as in JSON
    expect(done, code, "/objects/0/bbox_2d/2", message)


@scenario("data-contract", "Coordinates", "Integers and tokens in one geometry", digest="3e06a24c3007")
def test_integers_and_tokens_in_one_geometry() -> None:
    done = validate(with_object({"bbox_2d": [1, 2, "<|coord_3|>", "<|coord_4|>"]}))
    expect(done, "GEO006", "/objects/0/bbox_2d", "the geometry mixes integers and coord tokens")


@scenario("data-contract", "Coordinates", "Two objects, two forms", digest="0a5b39ace113")
def test_two_objects_two_forms() -> None:
    tokens = {"desc": "dog", "bbox_2d": ["<|coord_1|>", "<|coord_2|>", "<|coord_3|>", "<|coord_4|>"]}
    expect(validate(record(objects=[{"desc": "cat", "bbox_2d": BOX}, tokens]), "--strict"), None)


@harness("pixel-box")
def pixel_box(box: list[object], code: str | None, pointer: str | None = None, message: str | None = None) -> None:
    expect(validate(with_object({"bbox_2d": box}), "--coord-space", "pixel"), code, pointer, message)


# ------------------------------------------------------------------------------------------------------ image files


@harness("image-file")
def image_file(path: str, width: int, height: int, code: str | None, message: str | None = None) -> None:
    with folder() as here:
        (here / "images").mkdir()
        Image.new("RGB", (64, 48)).save(here / "images/a.png")
        (here / "images/b.png").write_text("no image")
        (here / "a.jsonl").write_text(record(images=[path], width=width, height=height) + "\n")
        done = coordspec("validate", "a.jsonl", "--format", "json", "--check-images")
        expect(done, code, "/images/0" if code else None, message)


@scenario("data-contract", "Image files", "Where images are looked for", digest="5b8d06006be6")
def test_where_images_are_looked_for() -> None:
    for place in ("data", "elsewhere"):
        with folder() as here:
            for name in ("data", "elsewhere"):
                (here / name).mkdir()
            Image.new("RGB", (640, 480)).save(here / place / "a.png")
            (here / "data/a.jsonl").write_text(record() + "\n")
            for root, options in (("data", ()), ("elsewhere", ("--image-root", "elsewhere"))):
                done = coordspec("validate", "data/a.jsonl", "--format", "json", "--check-images", *options)
                message = f'the image "a.png" does not exist under {root}'
                expect(done, None if root == place else "IMG001", message=message)


@scenario("data-contract", "Image files", "A turned image", digest="8743661738d6")
def test_a_turned_image(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.new("RGB", (64, 48)).save(tmp_path / "a.jpg", exif=exif)
    with contextlib.chdir(tmp_path):
        for width, height, code in ((48, 64, None), (64, 48, "IMG003")):
            Path("a.jsonl").write_text(record(images=["a.jpg"], width=width, height=height) + "\n")
            done = coordspec("validate", "a.jsonl", "--format", "json", "--check-images")
            expect(done, code)
    assert done.findings[0][3].endswith("; its EXIF orientation turns it, which the size has to follow")


@scenario("data-contract", "Image files", "Not asked for", digest="e1a2d3707623")
def test_not_asked_for() -> None:
    with folder() as here:
        (here / "b.png").write_text("no image")
        (here / "a.jsonl").write_bytes(lines(record(images=["b.png"]), record(images=["c.png"])))
        expect(coordspec("validate", "a.jsonl", "--format", "json", "--strict"), None)
        looked = coordspec("validate", "a.jsonl", "--format", "json", "--check-images")
        assert [code for code, *_ in looked.findings] == ["IMG002", "IMG001"]


# ------------------------------------------------------------------------------------------------- whole-file checks

XYWH = with_object({"bbox_2d": [600, 500, 300, 400]})
PIXELS = with_object({"bbox_2d": [100, 80, 319, 239]}, width=320, height=240)
TWICE = with_object({"bbox_2d": [999, 700, 999, 999]})


def whole_file(line: str, count: int, *options: str) -> list[tuple[str, str, str, str]]:
    """The findings on whole files; those have no place."""
    done = validate(lines(*[line] * count), *options)
    found = [finding for finding in done.findings if finding[0].startswith("DAT")]
    assert all(issue["line"] is None for issue in done.report["issues"] if issue["code"].startswith("DAT"))
    return found


@scenario("data-contract", "Whole-file checks", "x, y, width, height", digest="1ec1bde3cf95")
def test_x_y_width_height() -> None:
    message = (
        "the boxes look like x, y, width, height: 60 of 60 are inverted as corners, "
        "and nearly all of those fit as width and height"
    )
    assert whole_file(XYWH, 60) == [("DAT001", "warning", None, message)]
    done = validate(lines(*[XYWH] * 60))
    assert done.report["summary"]["by_rule"] == {"inverted-box": 60, "suspect-xywh": 1}


@scenario("data-contract", "Whole-file checks", "Pixels taken for bins", digest="1678da038ec5")
def test_pixels_taken_for_bins() -> None:
    done = validate(lines(*[PIXELS] * 60))
    expect(done, "DAT002", severity="warning")
    assert done.findings[0][3].startswith("the coordinates look like pixels: in 0 of the 60 images")


@scenario("data-contract", "Whole-file checks", "Normalised twice", digest="8fe66afe44e0")
def test_normalised_twice() -> None:
    message = "the coordinates look normalised twice: 60 of 60 boxes start at the far edge, bin 999"
    assert whole_file(TWICE, 60) == [("DAT003", "warning", None, message)]


@scenario("data-contract", "Whole-file checks", "Too few to tell", digest="834f16361828")
def test_too_few_to_tell() -> None:
    for line in (XYWH, PIXELS, TWICE):
        assert whole_file(line, 29) == []
        assert len(whole_file(line, 30)) == 1


@scenario("data-contract", "Whole-file checks", "Sound data", digest="6f09423adf18")
def test_sound_data() -> None:
    with folder():
        assert coordspec("shapes", "-o", "shapes", "--train", 60, "--val", 1, "--width", 64, "--height", 64).status == 0
        done = coordspec("validate", "shapes/train.jsonl", "--format", "json")
    assert done.report["summary"]["records"] == 60
    assert done.findings == []


@scenario("data-contract", "Whole-file checks", "No records", digest="787575ea2b3e")
def test_no_records() -> None:
    done = validate(b"")
    expect(done, "DAT004", message="the file holds no records")
    assert (done.report["issues"][0]["line"], done.report["issues"][0]["pointer"]) == (None, None)
