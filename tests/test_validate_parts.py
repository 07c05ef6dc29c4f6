"""Parts of a file add up to the file, wherever it is cut and however it is read; samples are fair; places are right."""

from __future__ import annotations

import functools
import gzip
import itertools
import json
import random
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest
import zstandard
from hypothesis import given, settings
from hypothesis import strategies as st

import mutants
from coordspec.checks.finding import Finding
from coordspec.errors import InputError
from coordspec.jsonl import read
from coordspec.jsonl.read import Line, read_blocks, read_lines
from coordspec.validate import run
from coordspec.validate.blocks import Summary, Validator, validate_range
from coordspec.validate.explain import Located, ValidateOptions
from coordspec.validate.run import Part, Plan, check_part, sample_lines, split_file, validate_files
from coordspec.validate.tally import BoxTally

BLOCKS = (1, 7, 64, read.BLOCK_BYTES)
LIMIT = 400
"""A line limit that a good part of the lines is above."""


def messy_file(seed: int, count: int = 40, limit: int = LIMIT) -> bytes:
    """Lines of every kind: sound, broken, empty, blank, with CR, far too long; perhaps no line feed at the end."""
    rng = random.Random(seed)
    odd = (
        b"",
        b"",
        b" ",
        b"{}",
        b"x" * (limit - 1),
        b"x" * limit,
        b"x" * (limit + 1),
        b"\xe7\x8c\xab" * limit,
        b"\xff",
    )
    lines = [rng.choice(odd) if rng.random() < 0.3 else line for line in itertools.islice(mutants.lines(seed), count)]
    data = b"".join(line + rng.choice((b"\n", b"\n", b"\r\n")) for line in lines)
    return data if rng.random() < 0.5 else data[: -rng.randrange(1, 3)]


def one_by_one(data: bytes, options: ValidateOptions) -> Summary:
    """The summary by the plainest code there is: split at line feeds, explain every line."""
    lines = data.split(b"\n")
    validator = Validator(options)
    offset = 0
    for number, line in enumerate(lines if lines[-1] else lines[:-1], start=1):
        validator.add_line(Line(line, number, offset, len(line)))
        offset += len(line) + 1
    return validator.summary


def summaries(path: Path, cuts: list[int], options: ValidateOptions) -> list[Summary]:
    borders = [0, *sorted(cuts), path.stat().st_size]
    return [validate_range(str(path), *pair, options) for pair in itertools.pairwise(borders)]


def merged(parts: list[Summary], max_listed: int) -> Summary:
    return functools.reduce(lambda left, right: left.then(right, max_listed), parts, Summary())


@pytest.mark.parametrize("block", BLOCKS)
@pytest.mark.parametrize("seed", range(6))
def test_ranges_add_up_to_the_whole(seed: int, block: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(read, "BLOCK_BYTES", block)
    rng = random.Random(seed)
    data = messy_file(seed, count=20 if block == 1 else 40)
    path = tmp_path / "messy.jsonl"
    path.write_bytes(data)
    options = ValidateOptions(max_line_bytes=LIMIT, max_listed=rng.choice((1, 2, 5, 1000)))
    expected = one_by_one(data, options)
    assert len(expected.counts) > 3
    assert validate_range(str(path), 0, len(data), options) == expected
    feeds = [i for i, byte in enumerate(data) if byte == ord("\n")]
    near = [i + step for i in feeds for step in (0, 1, 2) if i + step <= len(data)]
    for _ in range(6):
        cuts = rng.choices(near, k=rng.randrange(5)) + [rng.randrange(len(data) + 1) for _ in range(rng.randrange(5))]
        assert merged(summaries(path, cuts, options), options.max_listed) == expected, cuts


@pytest.mark.parametrize(
    "data", [b"", b"\n", b"\n\n\n", b"a", b"a\n", b"\r\n\r\n", b"a\n\nbb\n", b"\na\r\n\nbbbbbb\nc\n\n"]
)
@pytest.mark.parametrize("block", [1, 2, 3, 7])
def test_every_pair_of_cuts(data: bytes, block: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(read, "BLOCK_BYTES", block)
    path = tmp_path / "small.jsonl"
    path.write_bytes(data)
    options = ValidateOptions(max_line_bytes=3)
    expected = one_by_one(data, options)
    for cuts in itertools.combinations_with_replacement(range(len(data) + 1), 2):
        assert merged(summaries(path, list(cuts), options), options.max_listed) == expected, cuts


def test_short_lines_between_two_overlong_ones_are_read(tmp_path: Path) -> None:
    """The rest of a block behind an overlong line may hold whole lines, and the start of the next overlong one."""
    data = b"x" * 300_000 + b"\n" + b"short\n" + b"y" * 600_000 + b"\n" + b"last"
    path = tmp_path / "long.jsonl"
    path.write_bytes(data)
    found = [(line.number, line.offset, line.length) for line in read_lines(str(path), 100)]
    assert found == [(1, 0, 300_000), (2, 300_001, 5), (3, 300_007, 600_000), (4, 900_008, 4)]


@pytest.mark.parametrize("block", BLOCKS)
@pytest.mark.parametrize("seed", range(3))
def test_blocks_hold_whole_lines_and_every_byte(
    seed: int, block: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(read, "BLOCK_BYTES", block)
    data = messy_file(seed)
    path = tmp_path / "messy.jsonl"
    path.write_bytes(data)
    at = 0
    with path.open("rb", buffering=0) as stream:
        for part in read_blocks(stream, LIMIT):
            assert part.offset == at
            if part.overlong is None:
                assert data.startswith(part.data, at)
                at += len(part.data)
                assert part.data.endswith(b"\n") or at == len(data)
            else:
                end = data.find(b"\n", at) if b"\n" in data[at:] else len(data)
                assert (part.overlong, part.data) == (end - at, data[at : at + LIMIT])
                at = min(end + 1, len(data))
    assert at == len(data)


@pytest.mark.parametrize("block", BLOCKS[1:])
@pytest.mark.parametrize("seed", range(3))
def test_compressed_files_give_the_same(seed: int, block: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(read, "BLOCK_BYTES", block)
    data = messy_file(seed)
    half = len(data) // 3
    written = {
        "one.gz": gzip.compress(data),
        "two.gz": gzip.compress(data[:half]) + gzip.compress(data[half:]),
        "one.zst": zstandard.compress(data),
        "two.zst": zstandard.compress(data[:half]) + zstandard.compress(data[half:]),
    }
    options = ValidateOptions(max_line_bytes=LIMIT)
    expected = one_by_one(data, options)
    for name, packed in written.items():
        path = tmp_path / name
        path.write_bytes(packed)
        checked = check_part(Part(str(path), 0, None), options)
        assert (checked.failure, checked.summary) == (None, expected), name


def _located(number: int) -> Located:
    return Located(Finding("coord-range", (number,), {}), 1, 1, number)


LISTED = 3


@st.composite
def some_summary(draw: st.DrawFn) -> Summary:
    """The summary of some lines, as a validator that keeps ``LISTED`` findings of a rule would have made it."""
    names = draw(st.lists(st.sampled_from(["coord-range", "invalid-json", "wrong-type"]), max_size=8))
    counts = Counter(names)
    kept: list[Located] = []
    for number, name in enumerate(names):
        if sum(item.finding.rule == name for item in kept) < LISTED:
            kept.append(Located(Finding(name, (number,), {}), number + 1, 1, draw(st.integers(0, 99))))
    lines = len(names) + draw(st.integers(0, 3))
    return Summary(lines, min(lines, len(names)), counts, kept, BoxTally(*draw(st.tuples(*[st.integers(0, 9)] * 9))))


@settings(max_examples=200)
@given(some_summary(), some_summary(), some_summary())
def test_then_is_associative_and_an_empty_summary_is_neutral(a: Summary, b: Summary, c: Summary) -> None:
    assert a.then(b, LISTED).then(c, LISTED) == a.then(b.then(c, LISTED), LISTED)
    assert Summary().then(a, LISTED) == a == a.then(Summary(), LISTED)


@pytest.mark.parametrize("seed", range(3))
def test_ranges_may_be_merged_in_any_grouping(seed: int, tmp_path: Path) -> None:
    rng = random.Random(seed)
    data = messy_file(seed)
    path = tmp_path / "messy.jsonl"
    path.write_bytes(data)
    options = ValidateOptions(max_line_bytes=LIMIT, max_listed=2)
    expected = one_by_one(data, options)
    for _ in range(5):
        parts = summaries(path, [rng.randrange(len(data)) for _ in range(6)], options)
        while len(parts) > 1:
            at = rng.randrange(len(parts) - 1)
            parts[at : at + 2] = [parts[at].then(parts[at + 1], options.max_listed)]
        assert parts == [expected]


def small_parts(monkeypatch: pytest.MonkeyPatch, part_bytes: int) -> None:
    monkeypatch.setattr(run, "split_file", functools.partial(split_file, part_bytes=part_bytes))


def test_jobs_change_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    paths = []
    for seed in range(3):
        paths.append(str(tmp_path / f"{seed}.jsonl"))
        Path(paths[-1]).write_bytes(messy_file(seed, count=100))
    paths.append(str(tmp_path / "packed.jsonl.gz"))
    Path(paths[-1]).write_bytes(gzip.compress(messy_file(9)))
    options = ValidateOptions(max_line_bytes=LIMIT, max_listed=20)
    expected = validate_files(paths, options)
    done: list[int] = []
    small_parts(monkeypatch, 999)
    assert len(run.split_file(paths[0])) > 5
    assert validate_files(paths, options, Plan(jobs=1)) == expected
    assert validate_files(paths, options, Plan(jobs=2, progress=done.append)) == expected
    assert sum(done) == sum(Path(path).stat().st_size for path in paths[:-1])  # a stream's size is not known


def test_an_unreadable_file_is_named_by_workers_too(tmp_path: Path) -> None:
    good, bad = tmp_path / "good.jsonl", tmp_path / "bad.jsonl.gz"
    good.write_bytes(messy_file(1))
    bad.write_bytes(b"no gzip")
    for jobs in (1, 2):
        outcome = validate_files([str(good), str(bad)], ValidateOptions(), Plan(jobs=jobs)).outcome
        assert [str(error) for error in outcome.unreadable] == [f"{bad}: Not a gzipped file (b'no')"], jobs
        assert outcome.files == (str(good), str(bad))
        assert outcome.records == one_by_one(good.read_bytes(), ValidateOptions()).lines


def test_a_file_that_vanishes_is_unreadable(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"^nowhere\.jsonl: No such file or directory$"):
        validate_range("nowhere.jsonl", 0, 10, ValidateOptions())
    checked = check_part(Part(str(tmp_path), 0, 10), ValidateOptions())
    assert (str(checked.failure), checked.summary) == (f"{tmp_path}: Is a directory", Summary())


@pytest.mark.parametrize(
    ("name", "size", "parts"),
    [
        ("a.jsonl", 0, [(0, 0)]),
        ("a.jsonl", 10, [(0, 10)]),
        ("a.jsonl", 11, [(0, 10), (10, 11)]),
        ("a.gz", 11, [(0, None)]),
    ],
)
def test_split_file(name: str, size: int, parts: list[tuple[int, int | None]], tmp_path: Path) -> None:
    path = tmp_path / name
    path.write_bytes(b"x" * size)
    assert split_file(str(path), 10) == [Part(str(path), *part) for part in parts]


# ------------------------------------------------------------------------------------------------------------ samples


@pytest.fixture
def numbered(tmp_path: Path) -> Callable[[int], str]:
    """A file of that many lines, each with its number."""

    def write(count: int) -> str:
        path = tmp_path / f"{count}.jsonl"
        path.write_bytes(b"".join(f"{number}\n".encode() for number in range(1, count + 1)))
        return str(path)

    return write


@pytest.mark.parametrize("count", [0, 1, 4, 5, 6, 1000])
def test_a_sample_has_its_size_and_the_order_of_the_file(count: int, numbered: Callable[[int], str]) -> None:
    for seed in range(20):
        lines = sample_lines(numbered(count), 5, seed, 1 << 20)
        assert len(lines) == min(5, count)
        assert [line.number for line in lines] == sorted({line.number for line in lines})
        assert all(line.data == str(line.number).encode() for line in lines)


def test_the_seed_decides_the_sample(numbered: Callable[[int], str]) -> None:
    path = numbered(500)
    samples = [sample_lines(path, 10, seed, 1 << 20) for seed in range(20)]
    assert samples == [sample_lines(path, 10, seed, 1 << 20) for seed in range(20)]
    assert len({tuple(sample) for sample in samples}) == 20


@pytest.mark.parametrize(("count", "size"), [(40, 1), (40, 5), (40, 39)])
def test_every_line_is_equally_likely(count: int, size: int, numbered: Callable[[int], str]) -> None:
    path, rounds = numbered(count), 2000
    drawn = Counter(line.number for seed in range(rounds) for line in sample_lines(path, size, seed, 1 << 20))
    share = size / count
    # Each count is binomial; the sum of squares has a mean of count - 1 and a deviation of about sqrt(2 * count).
    spread = sum((drawn[n] - rounds * share) ** 2 for n in range(1, count + 1)) / (rounds * share * (1 - share))
    assert spread < count + 4 * (2 * count) ** 0.5, drawn


def test_a_sample_of_all_is_the_whole_run(tmp_path: Path) -> None:
    path = tmp_path / "messy.jsonl"
    path.write_bytes(messy_file(3))
    options = ValidateOptions(max_line_bytes=LIMIT)
    whole, sample = validate_files([str(path)], options), validate_files([str(path)], options, Plan(sample=1000))
    assert sample.counts == whole.counts
    assert sample.outcome.issues == whole.outcome.issues
    assert sample.outcome.notes == ("only a sample was checked: at most 1000 lines of each file, seed 0",)


def test_findings_of_a_sample_keep_their_places(tmp_path: Path) -> None:
    data = messy_file(4, count=200)
    path = tmp_path / "messy.jsonl"
    path.write_bytes(data)
    options = ValidateOptions(max_line_bytes=LIMIT, max_listed=10_000)
    everything = set(map(repr, validate_files([str(path)], options).outcome.issues))
    for seed in range(5):
        issues = validate_files([str(path)], options, Plan(sample=30, seed=seed)).outcome.issues
        placed = {repr(issue) for issue in issues if issue.place.line is not None}
        assert placed
        assert placed < everything


# ------------------------------------------------------------------------------------------------------------- places


@pytest.mark.parametrize("block", BLOCKS[1:])
@pytest.mark.parametrize("seed", range(5))
def test_offset_and_column_point_at_the_offending_text(
    seed: int, block: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each bad coordinate is a number of its own, behind characters of one to four bytes."""
    monkeypatch.setattr(read, "BLOCK_BYTES", block)
    rng = random.Random(seed)
    numbers = iter(range(10_000, 100_000))
    lines, planted = [], []
    for _ in range(30):
        objects = [
            {"desc": rng.choice(("cat", "café", "猫", "😀")) + str(i), "bbox_2d": [1, 2, 3, 4 + i]} for i in range(4)
        ]
        for item in rng.sample(objects, rng.randrange(3)):
            item["bbox_2d"][rng.choice((2, 3))] = next(numbers)
            planted.append(max(item["bbox_2d"]))
        fields = [("images", ["日本.png"]), ("width", 640), ("height", 480), ("objects", objects)]
        rng.shuffle(fields)
        lines.append(json.dumps(dict(fields), ensure_ascii=rng.random() < 0.2))
    text = rng.choice(("\n", "\r\n")).join(lines)
    data = text.encode()
    path = tmp_path / "places.jsonl"
    path.write_bytes(data)
    cut = rng.randrange(len(data))
    kept = merged(summaries(path, [cut], ValidateOptions()), 1000).kept
    assert [item.finding.rule for item in kept] == ["coord-range"] * len(planted)
    assert [item.finding.values["value"] for item in kept] == sorted(map(str, planted), key=text.index)
    for item in kept:
        value = str(item.finding.values["value"])
        assert data[item.byte_offset :].decode().startswith(value)
        assert text.split("\n")[item.line - 1][item.column - 1 :].startswith(value)


PLACES = [
    # what is before the fault, and the text that the place is that of
    (
        b'{"images": ["a.png"], "width": 640, "height": 480, "objects": [], "r\xc3\xa9sum\xc3\xa9": 1, ',
        b'"sumary": "x"}',
    ),
    (b'{"images": ["\xe7\x8c\xab.png"], "width": 640, "height": 480, "objects": [], "metadata": {"a": ', b"NaN}}"),
    (b'{"images": ["\xf0\x9f\x98\x80.png", "', b'\xff.png"], "width": 640, "height": 480, "objects": []}'),
    (b'{"images": ["\xf0\x9f\x98\x80.png"], "width": 640, "height": 480, "objects": [],', b"}"),
    (b'{"images": ["\xc3\xa9.png"], "width": 640, "height": 480, "objects": [], "metadata": {"a": 1, ', b'"a": 2}}'),
    (b"", b" "),
    (b"", b"\xef\xbb\xbf{}"),
]


@pytest.mark.parametrize(("before", "text"), PLACES)
def test_place_of_a_fault(before: bytes, text: bytes, tmp_path: Path) -> None:
    path = tmp_path / "fault.jsonl"
    path.write_bytes("{}\n猫\n".encode() + before + text + b"\n")
    kept = [
        item for item in validate_range(str(path), 0, path.stat().st_size, ValidateOptions()).kept if item.line == 3
    ]
    start = len("{}\n猫\n".encode())
    places = {(item.column, item.byte_offset) for item in kept}
    assert (len(before.decode()) + 1, start + len(before)) in places, kept
