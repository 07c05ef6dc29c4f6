"""Records of files by number: where lines start, the rules of ``validate``, the order of an epoch."""

from __future__ import annotations

import gzip
import itertools
import os
import pickle
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import mutants
from coordspec.checks.finding import CoordSpace
from coordspec.errors import ContractError, InputError, Place, Severity
from coordspec.jsonl.read import read_lines
from coordspec.record import Record, RefusedLine, record_of_line
from coordspec.samples import records as index
from coordspec.samples.records import RecordFile, Records, index_lines
from coordspec.samples.stream import epoch_order
from coordspec.validate.explain import ValidateOptions, explain_reference

LIMIT = 1 << 20
GOOD = b'{"images": ["a.png"], "width": 640, "height": 480, "objects": [{"desc": "cat", "bbox_2d": [1, 2, 3, 4]}]}'
Write = Callable[..., str]


@pytest.fixture
def write(tmp_path: Path) -> Write:
    """A file with this content, by its path."""

    def write(data: bytes, name: str = "train.jsonl") -> str:
        (tmp_path / name).write_bytes(data)
        return str(tmp_path / name)

    return write


# -------------------------------------------------------------------------------------------------------------- index


def spans(path: str, max_lines: int | None = None) -> list[tuple[int, int]]:
    lines = index_lines(path, max_lines)
    return [lines.span(number) for number in range(len(lines))]


@given(st.lists(st.sampled_from((b"", b"\r", b"a", b"bb", b"\xff\x00")), max_size=12), st.booleans(), st.integers(1, 5))
def test_lines_are_those_of_the_reader(
    tmp_path_factory: pytest.TempPathFactory, parts: list[bytes], end: bool, block: int
) -> None:
    path = tmp_path_factory.mktemp("index") / "a.jsonl"
    path.write_bytes(b"\n".join(parts) + b"\n" * end)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(index, "_BLOCK_BYTES", block)
        found = spans(str(path))
        expected = [(line.offset, line.length) for line in read_lines(str(path), LIMIT)]
        assert found == expected
        for count in range(4):
            assert spans(str(path), count) == expected[:count]


@pytest.mark.parametrize(("name", "data"), [("a.jsonl.gz", gzip.compress(GOOD, mtime=0)), ("a.jsonl.zst", b"")])
def test_compressed_files_are_refused(write: Write, name: str, data: bytes) -> None:
    path = write(data, name)
    with pytest.raises(InputError) as raised:
        index_lines(path)
    reason = "is compressed, and training draws lines in any order; decompress it first"
    assert str(raised.value) == f"{path}: {reason}"


def test_no_more_is_read_than_asked_for(write: Write, monkeypatch: pytest.MonkeyPatch) -> None:
    path, real, read = write(b"1234567\n" * 4), os.pread, list[int]()

    def counted(descriptor: int, size: int, offset: int) -> bytes:
        read.append(offset)
        return real(descriptor, size, offset)

    monkeypatch.setattr(index, "_BLOCK_BYTES", 8)
    monkeypatch.setattr(os, "pread", counted)
    assert len(index_lines(path, 2)) == 2
    assert read == [0, 8]


def test_what_is_no_file(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"nothing\.jsonl: no such file$"):
        index_lines(str(tmp_path / "nothing.jsonl"))
    with pytest.raises(InputError, match=r"is no plain file$"):
        index_lines(str(tmp_path))


def test_a_file_that_is_written_to(write: Write, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write(GOOD + b"\n")
    lines = RecordFile(index_lines(path), LIMIT)
    assert lines[0].objects[0].desc == "cat"
    with Path(path).open("ab") as stream:
        stream.write(GOOD)
    with pytest.raises(InputError) as raised:
        lines[0]
    assert str(raised.value) == f"{path}: has changed since training started; stop writing to it and start again"

    real = os.pread

    def slow(descriptor: int, size: int, offset: int) -> bytes:
        with Path(path).open("ab") as stream:
            stream.write(b"\n")
        return real(descriptor, size, offset)

    monkeypatch.setattr(os, "pread", slow)
    with pytest.raises(InputError, match=r"was written to while it was being read$"):
        index_lines(path)


# ------------------------------------------------------------------------------------------------------------ records


def test_records_of_several_files(write: Write) -> None:
    def numbered(*widths: int) -> bytes:
        return b"".join(GOOD.replace(b"640", str(width).encode()) + b"\n" for width in widths)

    paths = [write(numbered(1, 2), "a.jsonl"), write(b"", "b.jsonl"), write(numbered(3), "c.jsonl")]
    records = Records.of_files(paths, LIMIT)
    assert [records[number].width for number in range(len(records))] == [1, 2, 3]
    assert records[-1].width == 3
    assert records[2].place == records.place(2) == Place(paths[2], 1, byte_offset=0)
    assert records.place(1) == Place(paths[0], 2, byte_offset=len(numbered(1)))
    with pytest.raises(IndexError):
        records[3]
    for count, widths in ((0, []), (1, [1]), (2, [1, 2]), (3, [1, 2, 3]), (9, [1, 2, 3])):
        some = Records.of_files(paths, LIMIT, count)
        assert [some[number].width for number in range(len(some))] == widths


def test_records_go_to_other_processes(write: Write) -> None:
    records = Records.of_files([write(GOOD)], LIMIT)
    first = records[0]
    again = pickle.loads(pickle.dumps(records))
    assert again[0] == first


def test_every_finding_with_file_and_line(write: Write) -> None:
    path = write(GOOD + b"\n\n" + GOOD.replace(b'"cat"', b'" "').replace(b"4]", b"1000]"))
    records = Records.of_files([path], LIMIT)
    with pytest.raises(ContractError) as raised:
        records[2]
    assert str(raised.value) == (
        f'{path}:3: objects[0].desc: the desc " " is blank (OBJ001)\n'
        f"{path}:3: objects[0].bbox_2d[3]: 1000 is above the maximum 999 (GEO003)"
    )
    again = pickle.loads(pickle.dumps(raised.value))
    assert (type(again), again.issues, str(again)) == (ContractError, raised.value.issues, str(raised.value))
    with pytest.raises(ContractError, match=r":2: .*\(JSN004\)$"):
        records[1]


def test_a_line_over_the_limit_is_not_read(write: Write, monkeypatch: pytest.MonkeyPatch) -> None:
    records = Records.of_files([write(GOOD + b" " * 1000)], 200)
    real, sizes = os.pread, list[int]()

    def counted(descriptor: int, size: int, offset: int) -> bytes:
        sizes.append(size)
        return real(descriptor, size, offset)

    monkeypatch.setattr(os, "pread", counted)
    with pytest.raises(ContractError, match=rf"{len(GOOD) + 1000}.*200.*\(JSN010\)$"):
        records[0]
    assert sizes == [200]
    refused = record_of_line(GOOD, len(GOOD), 10, Place("a", 1))
    assert isinstance(refused, RefusedLine)
    assert [issue.code for issue in refused.issues] == ["JSN010"]


def errors_of(line: bytes) -> list[str]:
    options = ValidateOptions(space=CoordSpace.NORM1000, max_line_bytes=LIMIT)
    found = explain_reference(line, len(line), options)
    return sorted(name for name in found.rules() if options.severity(name) is Severity.ERROR)


def refused_by_training(line: bytes) -> list[str]:
    found = record_of_line(line, len(line), LIMIT, Place("a.jsonl", 1))
    return [] if isinstance(found, Record) else sorted(issue.name for issue in found.issues)


def compare_with_validate(seed: int, count: int) -> None:
    refused = 0
    for line in itertools.islice(mutants.lines(seed), count):
        expected = errors_of(line)
        assert refused_by_training(line) == expected, line
        refused += bool(expected)
    assert count / 10 < refused < count * 9 / 10


def test_training_refuses_what_validate_refuses() -> None:
    compare_with_validate(seed=11, count=3000)


@pytest.mark.nightly
def test_training_refuses_what_validate_refuses_at_length() -> None:
    compare_with_validate(seed=12, count=100_000)


# -------------------------------------------------------------------------------------------------------------- order


def test_an_order_is_the_same_for_ever() -> None:
    assert epoch_order(8, seed=0, epoch=0).tolist() == [6, 3, 5, 0, 7, 2, 1, 4]
    assert epoch_order(8, seed=7, epoch=3).tolist() == [4, 2, 7, 0, 5, 3, 1, 6]
    assert epoch_order(0, 0, 0).tolist() == []


@given(st.integers(0, 200), st.integers(0, 2**40), st.integers(0, 50))
def test_every_sample_once(count: int, seed: int, epoch: int) -> None:
    order = epoch_order(count, seed, epoch)
    assert sorted(order.tolist()) == list(range(count))
    assert order.dtype == np.int64
    np.testing.assert_array_equal(order, epoch_order(count, seed, epoch))


def test_places_are_equally_likely() -> None:
    """Where the first of 10 samples ends up over 2000 epochs: chi square with 9 degrees of freedom, far in its tail."""
    places = np.bincount([int(epoch_order(10, 3, epoch)[0]) for epoch in range(2000)], minlength=10)
    assert ((places - 200) ** 2 / 200).sum() < 40


def test_bad_calls() -> None:
    with pytest.raises(ValueError, match=r"not below 0, unlike 5, -1, 0$"):
        epoch_order(5, -1, 0)
