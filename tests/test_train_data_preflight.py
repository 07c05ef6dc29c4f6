"""The check of all data before the first step."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from coordspec.config.sections import Data
from coordspec.contracts import rule
from coordspec.errors import ContractError, InputError
from coordspec.findings.outcome import Outcome
from coordspec.record import Record
from coordspec.samples.records import Records
from coordspec.samples.stream import sample_lengths
from coordspec.train.data import preflight, wants_preflight
from coordspec.validate.run import Plan

CAT = {"desc": "cat", "bbox_2d": [1, 2, 3, 4]}
Check = Callable[..., Outcome]


def line(**fields: object) -> str:
    return json.dumps({"images": ["a.png"], "width": 64, "height": 48, "objects": [CAT], **fields})


def measure(record: Record) -> int:
    """So many tokens as there are objects; more than three do not fit."""
    if len(record.objects) > 3:
        sizes = {"tokens": len(record.objects), "prompt": 0, "answer": len(record.objects), "limit": 3}
        raise ContractError([rule("sample-too-long").issue(record.place, sizes)])
    return len(record.objects)


@pytest.fixture
def check(tmp_path: Path) -> Check:
    """Preflight of a file with these lines, beside an image of 64 × 48 pixels."""
    Image.new("RGB", (64, 48)).save(tmp_path / "a.png")

    def check(*lines: str, **data: Any) -> Outcome:
        path = tmp_path / "train.jsonl"
        path.write_text("".join(text + "\n" for text in lines))
        return preflight([str(path)], Data(train=(str(path),), **data), measure, Plan())

    return check


def found(outcome: Outcome) -> list[tuple[str, int | None]]:
    assert outcome.errors + outcome.warnings == len(outcome.issues) == sum(outcome.by_rule.values())
    assert outcome.records == outcome.valid + outcome.invalid
    return [(issue.code, issue.place.line) for issue in outcome.issues]


def test_sound_data(check: Check) -> None:
    outcome = check(line(), line(objects=[]))
    assert found(outcome) == []
    assert (outcome.records, outcome.invalid) == (2, 0)


def test_all_that_validate_finds(check: Check) -> None:
    outcome = check(line(), line(objects=[{"desc": "cat"}]), "", line(width=65), line(images=["b.png"]), line(extra=1))
    assert found(outcome) == [("OBJ004", 2), ("JSN004", 3), ("IMG003", 4), ("IMG001", 5), ("REC003", 6)]
    assert (outcome.errors, outcome.warnings, outcome.invalid) == (4, 1, 4)


def test_an_empty_file(check: Check) -> None:
    assert found(check()) == [("DAT004", None)]


def test_samples_that_do_not_fit(check: Check) -> None:
    many = [{**CAT, "desc": str(number)} for number in range(4)]
    outcome = check(line(), line(objects=many), line(extra=1), line(objects=many))
    assert found(outcome) == [("REC003", 3), ("MSK050", 2), ("MSK050", 4)]
    assert (outcome.valid, outcome.invalid, outcome.errors, outcome.warnings) == (2, 2, 2, 1)


def test_images_over_a_limit(check: Check) -> None:
    assert found(check(line(), max_image_pixels=64 * 48 - 1)) == [("IMG002", 1)]
    assert found(check(line(), max_image_bytes=10)) == [("IMG002", 1)]
    assert found(check(line(), max_image_pixels=64 * 48)) == []


def test_the_longest_line(check: Check) -> None:
    assert found(check(line(), max_line_bytes=len(line()))) == []
    assert found(check(line(), max_line_bytes=len(line()) - 1)) == [("JSN010", 1)]


def test_images_below_a_root(check: Check, tmp_path: Path) -> None:
    (tmp_path / "images").mkdir()
    assert found(check(line(), image_root=str(tmp_path / "images"))) == [("IMG001", 1)]


def test_a_list_that_would_not_end(check: Check, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("coordspec.train.data.MAX_LISTED", 3)
    many = [{**CAT, "desc": str(number)} for number in range(4)]
    outcome = check(*[line(objects=many)] * 5)
    assert (outcome.errors, len(outcome.issues), outcome.truncated) == (5, 3, True)
    assert outcome.by_rule == {"sample-too-long": 5}


def test_a_compressed_file(tmp_path: Path) -> None:
    (tmp_path / "a.jsonl.gz").write_bytes(b"")
    with pytest.raises(InputError, match=r"decompress it first$"):
        preflight([str(tmp_path / "a.jsonl.gz")], Data(train=("a",)), measure, Plan())


@pytest.mark.parametrize(
    ("mode", "limit", "wanted"),
    [("always", 1, True), ("never", 1000, False), ("auto", 10, True), ("auto", 9, False)],
)
def test_when_there_is_one(tmp_path: Path, mode: Any, limit: int, wanted: bool) -> None:
    paths = []
    for name, size in (("a", 4), ("b", 6)):
        (tmp_path / name).write_bytes(b"x" * size)
        paths.append(str(tmp_path / name))
    data = Data(train=tuple(paths), preflight=mode, preflight_max_bytes=limit)
    assert wants_preflight(data, paths) is wanted


def test_lengths(tmp_path: Path) -> None:
    path = tmp_path / "train.jsonl"
    path.write_text("".join(line(objects=[{**CAT, "desc": str(i)} for i in range(n)]) + "\n" for n in (2, 0, 3)))
    records = Records.of_files([str(path)], 1 << 20)
    done: list[int] = []
    lengths = sample_lengths(records, measure, done.append)
    assert (lengths.tolist(), lengths.dtype.name, done) == ([2, 0, 3], "int32", [1, 1, 1])
    path.write_text(line(objects=[{"desc": "x"}]) + "\n")
    with pytest.raises(ContractError, match=r"train\.jsonl:1: .*\(OBJ004\)$"):
        sample_lengths(Records.of_files([str(path)], 1 << 20), measure, done.append)
