"""``coordspec validate`` from the outside: inputs, options, reports, exit status."""

from __future__ import annotations

import gzip
import itertools
import json
import os
import xml.etree.ElementTree as ET
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import zstandard
from PIL import Image

import mutants
from conftest import Done
from coordspec.contracts import Rule, rule, rule_book

pytestmark = pytest.mark.terminal

RULES = list(rule_book().about("data").by_name.values())
GOOD = '{"images": ["a.png"], "width": 640, "height": 480, "objects": [{"desc": "cat", "bbox_2d": [1, 2, 3, 4]}]}'
ERROR = GOOD.replace("3, 4", "1000, 4")  # coord-range
WARNING = GOOD.replace("3, 4", "1, 4")  # degenerate-box
BOTH = GOOD.replace("3, 4", "1, 1000")

Run = Callable[..., Done]
Write = Callable[..., Path]


@pytest.fixture
def write(tmp_path: Path) -> Write:
    """Write lines to a file below ``tmp_path``."""

    def write(name: str, *lines: str) -> Path:
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("".join(line + "\n" for line in lines), encoding="utf-8")
        return path

    return write


def report(done: Done) -> dict[str, Any]:
    """The JSON report on standard output."""
    document: dict[str, Any] = json.loads(done.out)
    return document


# -------------------------------------------------------------------------------------------------------------- rules

BUILT_BAD_FILES = {
    "huge-number": GOOD[:-1].encode() + b', "metadata": {"id": ' + b"9" * 4301 + b"}}\n",
    "no-records": b"",
}
"""Bad examples that a line of the contract cannot hold."""
DAT_LINES = 60
LINE_FAMILIES = ("JSN", "REC", "OBJ", "GEO", "DUP", "SCH")
"""Families whose bad example breaks its rule and no other; a whole file, or an image, may break several."""


def example_file(rule: Rule, line: bytes) -> bytes:
    return (line + b"\n") * (DAT_LINES if rule.family == "DAT" else 1)


def example_options(rule: Rule, folder: Path) -> list[str]:
    """The words for the options of a rule's example; a schema is written to a file of the folder."""

    def schema(text: str) -> list[str]:
        (folder / "own.json").write_text(text, "utf-8")
        return ["--schema", "own.json"]

    table: dict[str, Callable[[Any], list[str]]] = {
        "schema": schema,
        "max_line_bytes": lambda value: ["--max-line-bytes", str(value)],
        "check_images": lambda value: ["--check-images"] * value,
    }
    return [word for key, value in rule.options.items() for word in table[key](value)]


@pytest.fixture
def images(tmp_path: Path) -> None:
    (tmp_path / "images").mkdir()
    Image.new("RGB", (640, 480)).save(tmp_path / "images/640x480.png")
    (tmp_path / "images/broken.png").write_bytes(b"this is no image")


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.name)
@pytest.mark.usefixtures("images")
def test_the_bad_example_breaks_its_rule(rule: Rule, coordspec: Run, tmp_path: Path) -> None:
    bad = BUILT_BAD_FILES.get(rule.name)
    if bad is None:
        assert rule.bad_line is not None, "add it to BUILT_BAD_FILES"
        bad = example_file(rule, rule.bad_line)
    (tmp_path / "bad.jsonl").write_bytes(bad)
    done = coordspec("validate", "bad.jsonl", *example_options(rule, tmp_path), "--format", "json")
    document = report(done)
    assert document["summary"]["by_rule"].get(rule.name), document
    assert len(document["summary"]["by_rule"]) == 1 or rule.family not in LINE_FAMILIES
    issue = next(issue for issue in document["issues"] if issue["name"] == rule.name)
    assert (issue["code"], issue["severity"]) == (rule.code, rule.severity.value)
    assert done.status == int(document["summary"]["errors"] > 0)
    alone = coordspec(
        "validate", "bad.jsonl", *example_options(rule, tmp_path), "--format", "json", "--select", rule.code, "--strict"
    )
    assert alone.status == 1
    assert list(report(alone)["summary"]["by_rule"]) == [rule.name]
    assert "{" not in issue["hint"]


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.name)
@pytest.mark.usefixtures("images")
def test_the_good_example_breaks_none(rule: Rule, coordspec: Run, tmp_path: Path) -> None:
    (tmp_path / "good.jsonl").write_bytes(example_file(rule, rule.good.encode()))
    done = coordspec("validate", "good.jsonl", *example_options(rule, tmp_path), "--format", "json", "--strict")
    assert (report(done)["issues"], done.status) == ([], 0)


def test_options_of_examples_matter(coordspec: Run, tmp_path: Path) -> None:
    """Without its options, the bad example is sound: the option is what finds it."""
    for name in ("too-long", "schema-limit", "image-missing", "image-unreadable", "image-size-mismatch"):
        (tmp_path / "bad.jsonl").write_bytes(example_file(rule(name), rule(name).bad_line or b""))
        assert coordspec("validate", "bad.jsonl", "--strict").status == 0, name


# -------------------------------------------------------------------------------------------------------------- inputs


def paths_in(document: dict[str, Any]) -> list[str]:
    return list(dict.fromkeys(issue["path"] for issue in document["issues"]))


@pytest.fixture
def tree(write: Write, tmp_path: Path) -> None:
    """Files with one error each, plain and packed, and others that are no input."""
    write("data/a.jsonl", ERROR)
    write("data/deep/er/b.jsonl", ERROR)
    write("data/notes.txt", "no json")
    write("data/x.json", "no json")
    (tmp_path / "data/c.jsonl.gz").write_bytes(gzip.compress(ERROR.encode()))
    (tmp_path / "data/d.jsonl.zst").write_bytes(zstandard.compress(ERROR.encode()))


WORDS = [
    (["data/"], ["data/a.jsonl", "data/c.jsonl.gz", "data/d.jsonl.zst", "data/deep/er/b.jsonl"]),
    (["data/?.jsonl*"], ["data/a.jsonl", "data/c.jsonl.gz", "data/d.jsonl.zst"]),
    (["data/deep", "data/*/*/b.jsonl"], ["data/deep/er/b.jsonl"]),
    (["data/a.jsonl", "./data/a.jsonl", "data//a.jsonl"], ["data/a.jsonl"]),
    (["data/a.jsonl", "link.jsonl"], ["data/a.jsonl", "link.jsonl"]),  # its images stand in another folder
]  # fmt: skip


@pytest.mark.usefixtures("tree")
@pytest.mark.parametrize(("words", "files"), WORDS)
def test_what_words_mean(words: list[str], files: list[str], coordspec: Run, tmp_path: Path) -> None:
    (tmp_path / "link.jsonl").symlink_to("data/a.jsonl")
    document = report(coordspec("validate", *words, "--format", "json"))
    assert (paths_in(document), document["summary"]["files"]) == (files, len(files))
    assert document["summary"]["errors"] == len(files)


NO_FILES = [
    ("dangling.jsonl", "error: dangling.jsonl: no such file or folder\n"),
    ("n" * 300, f"error: {'n' * 300}: File name too long\n"),
]


@pytest.mark.parametrize(("word", "message"), NO_FILES, ids=[word[:20] for word, _ in NO_FILES])
def test_words_that_mean_no_file(word: str, message: str, spawn: Run, write: Write, tmp_path: Path) -> None:
    write("a.jsonl", GOOD)
    (tmp_path / "dangling.jsonl").symlink_to("nowhere")
    assert spawn("validate", "a.jsonl", word) == Done(2, "", message)


def test_standard_input(spawn: Run, write: Write) -> None:
    write("a.jsonl", ERROR)
    done = spawn("validate", "-", "a.jsonl", "-", "--format", "json", "--jobs", "2", input=f"{GOOD}\n{ERROR}".encode())
    document = report(done)
    assert [(issue["path"], issue["line"]) for issue in document["issues"]] == [("-", 2), ("a.jsonl", 1)]
    assert (document["summary"]["files"], document["summary"]["records"], done.status) == (2, 3, 1)


@pytest.mark.parametrize("path", ["/dev/stdin", "/dev/fd/0"])
def test_pipes_with_a_name(path: str, spawn: Run) -> None:
    document = report(spawn("validate", path, "--format", "json", input=f"{GOOD}\n{ERROR}".encode()))
    assert (document["summary"]["records"], document["summary"]["errors"]) == (2, 1)


# --------------------------------------------------------------------------------------------------- choosing of rules

MANY = (
    GOOD[:-1] + ', "extra": 1, "objects": [{"desc": " ", "bbox_2d": [5, 5, 1, 1000]}, {"desc": "a", "bbox_2d": [5]}]}'
)

CHOICES = [
    (["--select", "COORD_RANGE"], {"coord-range"}),
    (["--select", "OBJ,coord-range, JSN006"], {"blank-desc", "coord-range", "duplicate-key"}),
    (["--ignore", "GEO,OBJ", "--ignore", "duplicate-key"], {"unknown-field"}),
    (["--ignore", "coord-range", "--select", "coord-range,OBJ"], {"blank-desc"}),
    (["--select", "IMG"], set()),
]


@pytest.mark.parametrize(("options", "names"), CHOICES)
def test_select_and_ignore(options: list[str], names: set[str], coordspec: Run, write: Write) -> None:
    write("a.jsonl", MANY)
    document = report(coordspec("validate", "a.jsonl", "--format", "json", *options))
    assert set(document["summary"]["by_rule"]) == names
    assert {issue["name"] for issue in document["issues"]} == names


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.name)
def test_a_rule_may_be_chosen_alone_for_any_line(rule: Rule, coordspec: Run, tmp_path: Path) -> None:
    """What the other rules would have found must not be needed to place what this one finds."""
    lines = itertools.islice(mutants.lines(5), 300)
    (tmp_path / "a.jsonl").write_bytes(b"\n".join(lines))
    everything = report(coordspec("validate", "a.jsonl", "--format", "json"))
    alone = report(coordspec("validate", "a.jsonl", "--format", "json", "--select", rule.code))
    assert alone["issues"] == [issue for issue in everything["issues"] if issue["name"] == rule.name]


WRONG_CHOICES = [
    (["--ignore", "GEO,GEO0003"], "no rule is called 'GEO0003' (did you mean 'GEO003'?)"),
    (["--select", "qqqq"], "no rule is called 'qqqq'"),
    (["--select", "GEO,"], "no rule is called ''"),
    (["--ignore", ",".join(rule_book().about("data").families)], "--select and --ignore leave no rule to check"),
]


@pytest.mark.parametrize(("options", "message"), WRONG_CHOICES)
def test_rules_that_cannot_be_chosen(options: list[str], message: str, coordspec: Run, write: Write) -> None:
    write("a.jsonl", ERROR)
    done = coordspec("validate", "a.jsonl", *options)
    assert (done.status, done.out) == (2, "")
    assert done.err.splitlines()[-1].endswith(message)


def test_strict_makes_every_warning_an_error(coordspec: Run, write: Write) -> None:
    write("a.jsonl", BOTH, WARNING, GOOD, *[WARNING] * 3)
    plain, strict = (report(coordspec("validate", "a.jsonl", "--format", "json", *o)) for o in ([], ["--strict"]))
    assert plain["summary"]["by_rule"] == strict["summary"]["by_rule"]
    assert (plain["summary"]["errors"], plain["summary"]["warnings"], plain["summary"]["invalid"]) == (1, 5, 1)
    assert (strict["summary"]["errors"], strict["summary"]["warnings"], strict["summary"]["invalid"]) == (6, 0, 5)
    assert {issue["severity"] for issue in strict["issues"]} == {"error"}


# ----------------------------------------------------------------------------------------------------- what is listed


@pytest.mark.parametrize("most", [1, 2, 3, 100])
@pytest.mark.parametrize("jobs", [1, 2])
def test_errors_are_never_hidden_by_warnings(most: int, jobs: int, coordspec: Run, write: Write) -> None:
    write("a.jsonl", *[WARNING] * 5, ERROR)
    write("b.jsonl", *[WARNING] * 5, *[ERROR] * 4)
    done = coordspec("validate", "a.jsonl", "b.jsonl", "--max-errors", most, "--jobs", jobs, "--format", "json")
    document = report(done)
    assert Counter(issue["severity"] for issue in document["issues"]) == {
        "error": min(most, 5),
        "warning": min(most, 10),
    }
    assert document["summary"]["by_rule"] == {"coord-range": 5, "degenerate-box": 10}
    assert (document["summary"]["errors"], document["summary"]["warnings"]) == (5, 10)
    assert document["truncated"] is (most < 10)
    first = [(issue["path"], issue["line"]) for issue in document["issues"]]
    assert first == sorted(first)
    assert first[0] == ("a.jsonl", 1)


def test_one_line_may_hold_more_findings_than_are_listed(coordspec: Run, write: Write) -> None:
    boxes = ", ".join(f'{{"desc": "x{i}", "bbox_2d": [1, 2, 1000, 4]}}' for i in range(50))
    write("a.jsonl", '{"images": ["a.png"], "width": 9, "height": 9, "objects": [' + boxes + "]}")
    document = report(coordspec("validate", "a.jsonl", "--max-errors", 7, "--format", "json"))
    assert [issue["pointer"] for issue in document["issues"]] == [f"/objects/{i}/bbox_2d/2" for i in range(7)]
    assert (document["summary"]["errors"], document["truncated"]) == (50, True)


def test_statistics(coordspec: Run, write: Write) -> None:
    write("a.jsonl", *[WARNING] * 12, ERROR)
    document = report(coordspec("validate", "a.jsonl", "--statistics", "--format", "json"))
    assert (document["issues"], document["summary"]["by_rule"]) == ([], {"coord-range": 1, "degenerate-box": 12})


# ------------------------------------------------------------------------------------------------------------ baseline


@pytest.fixture
def known(coordspec: Run, write: Write) -> None:
    """known.json holds the findings of a.jsonl and b.jsonl."""
    write("a.jsonl", ERROR, ERROR, WARNING, GOOD)
    write("b.jsonl", WARNING)
    done = coordspec("validate", "a.jsonl", "b.jsonl", "--write-baseline", "known.json")
    assert done == Done(0, "", "known.json: 4 findings of 2 files written as the baseline\n")


@pytest.mark.usefixtures("known")
def test_a_baseline_silences_what_it_holds(coordspec: Run) -> None:
    for options in ([], ["--strict"], ["--jobs", "2"]):
        done = coordspec("validate", "a.jsonl", "b.jsonl", "--baseline", "known.json", "--format", "json", *options)
        document = report(done)
        assert (done.status, document["issues"], document["summary"]["by_rule"]) == (0, [], {})
        assert document["notes"] == ["4 findings stand in the baseline and are not counted"]
        assert (document["summary"]["errors"], document["truncated"]) == (0, False)


@pytest.mark.usefixtures("known")
def test_findings_less_than_known_stay_silent(coordspec: Run, write: Write) -> None:
    write("a.jsonl", ERROR, GOOD)
    assert coordspec("validate", "a.jsonl", "--baseline", "known.json").status == 0


@pytest.mark.usefixtures("known")
def test_a_baseline_is_of_its_files_alone(coordspec: Run, write: Write) -> None:
    write("c.jsonl", ERROR)
    assert coordspec("validate", "c.jsonl", "--baseline", "known.json").status == 1


def test_whole_file_findings_stand_in_a_baseline(coordspec: Run, write: Write) -> None:
    write("empty.jsonl")
    assert coordspec("validate", "empty.jsonl", "--write-baseline", "known.json").status == 0
    assert coordspec("validate", "empty.jsonl", "--baseline", "known.json").status == 0
    assert coordspec("validate", "empty.jsonl").status == 1


@pytest.mark.usefixtures("known")
def test_a_baseline_may_be_replaced(coordspec: Run, write: Write, tmp_path: Path) -> None:
    write("a.jsonl", GOOD)
    done = coordspec("validate", "a.jsonl", "--write-baseline", "known.json")
    assert done == Done(0, "", "known.json: 0 findings of 1 files written as the baseline\n")
    assert json.loads((tmp_path / "known.json").read_text()) == {"version": 1, "files": {}}


BROKEN_BASELINES = [
    (b"", "is no baseline: Expecting value: line 1 column 1 (char 0)"),
    (b"[" * 100_000, "is no baseline: "),
    (b"\xff", "is no baseline: "),
    (b"1" * 5000, "is no baseline: "),
    (b"[]", "is no baseline; write one with --write-baseline"),
    (b'{"version": 2, "files": {}}', "is no baseline; write one with --write-baseline"),
    (b'{"files": {}}', "is no baseline; write one with --write-baseline"),
    (b'{"version": 1, "files": []}', "is no baseline; write one with --write-baseline"),
    (b'{"version": 1, "files": {"a": [1]}}', "files.a is not an object of rule codes and counts"),
    (b'{"version": 1, "files": {"a": {"GEO999": 1}}}', "files.a.GEO999 is not the count of a known rule"),
    (b'{"version": 1, "files": {"a": {"GEO003": -1}}}', "files.a.GEO003 is not the count of a known rule"),
    (b'{"version": 1, "files": {"a": {"GEO003": true}}}', "files.a.GEO003 is not the count of a known rule"),
    (b'{"version": 1, "files": {"a": {"GEO003": 1.0}}}', "files.a.GEO003 is not the count of a known rule"),
    (b'{"version": 1, "files": {"a": {"GEO003": "1"}}}', "files.a.GEO003 is not the count of a known rule"),
]


@pytest.mark.parametrize(("text", "message"), BROKEN_BASELINES, ids=[str(text[:40]) for text, _ in BROKEN_BASELINES])
def test_a_broken_baseline_is_refused(text: bytes, message: str, coordspec: Run, write: Write, tmp_path: Path) -> None:
    write("a.jsonl", ERROR)
    (tmp_path / "known.json").write_bytes(text)
    for option in ("--baseline", "--write-baseline"):
        done = coordspec("validate", "a.jsonl", option, "known.json")
        assert (done.status, done.out) == (2, "")
        assert done.err.startswith(f"error: known.json: {message}"), option
        assert (tmp_path / "known.json").read_bytes() == text


def test_a_missing_baseline_is_wrong_usage(coordspec: Run, write: Write) -> None:
    write("a.jsonl", ERROR)
    done = coordspec("validate", "a.jsonl", "--baseline", "nothing.json")
    assert done.status == 2
    assert done.err.splitlines()[-1] == "Error: Invalid value for '--baseline': File 'nothing.json' does not exist."


@pytest.mark.parametrize("name", ["a.jsonl", "other.jsonl", "link"])
def test_write_baseline_replaces_nothing_but_baselines(name: str, coordspec: Run, write: Write, tmp_path: Path) -> None:
    write("a.jsonl", ERROR)
    write("other.jsonl", GOOD)
    (tmp_path / "link").symlink_to("a.jsonl")
    before = (tmp_path / name).read_bytes()
    done = coordspec("validate", "a.jsonl", "--write-baseline", name)
    assert done.status == 2
    assert done.err == f"error: {name}: is no baseline; write one with --write-baseline\n"
    assert (tmp_path / name).read_bytes() == before


def test_write_baseline_refuses_an_input_even_if_it_is_a_baseline(coordspec: Run, write: Write, tmp_path: Path) -> None:
    write("odd.jsonl", '{"version": 1, "files": {}}')
    done = coordspec("validate", "odd.jsonl", "--write-baseline", "odd.jsonl")
    assert done == Done(2, "", "error: odd.jsonl: is being read; name another output\n")


def test_no_baseline_is_written_of_what_cannot_be_read(coordspec: Run, write: Write, tmp_path: Path) -> None:
    """It would hold fewer findings than there are, and a command that could not do its job must not exit with 0."""
    write("a.jsonl", ERROR)
    (tmp_path / "b.jsonl.gz").write_bytes(b"no gzip")
    done = coordspec("validate", "a.jsonl", "b.jsonl.gz", "--write-baseline", "known.json")
    assert done.status == 2
    assert "b.jsonl.gz: Not a gzipped file (b'no')" in done.out
    assert not (tmp_path / "known.json").exists()


# ------------------------------------------------------------------------------------------------- formats and outputs


def kind(text: str) -> str:
    """Which format a text is in."""
    if text.startswith("<?xml"):
        ET.fromstring(text)
        return "junit"
    if text.startswith("::"):
        return "github"
    try:
        documents = [json.loads(line) for line in text.splitlines()]
    except json.JSONDecodeError:
        return "text"
    return "sarif" if "runs" in documents[0] else "json" if "issues" in documents[0] else "jsonl"


OUTPUTS = [
    # options, format on standard output, format by file
    ([], "text", {}),
    (["--format", "json"], "json", {}),
    (["--format", "jsonl"], "jsonl", {}),
    (["--format", "sarif"], "sarif", {}),
    (["--format", "github"], "github", {}),
    (["--format", "junit"], "junit", {}),
    (["-o", "r"], None, {"r": "text"}),
    (["--output=r"], None, {"r": "text"}),
    (["--format", "json", "-o", "r"], None, {"r": "json"}),
    (["--format", "text", "--format", "sarif", "-o", "out.sarif"], "text", {"out.sarif": "sarif"}),
    (["--format", "sarif", "-o", "out.sarif", "--format", "text"], "text", {"out.sarif": "sarif"}),
    (["-o", "r", "--format", "github"], "github", {"r": "text"}),
    (["--format=json", "-oa", "--format=junit", "-ob", "--format=jsonl"], "jsonl", {"a": "json", "b": "junit"}),
    (["--format", "json", "-o", "a", "--format", "json", "-o", "b"], None, {"a": "json", "b": "json"}),
    (["--format", "json", "--strict", "-o", "a"], None, {"a": "json"}),
]


@pytest.mark.parametrize("case", OUTPUTS)
def test_reports_go_where_they_are_sent(
    case: tuple[list[str], str | None, dict[str, str]], coordspec: Run, write: Write, tmp_path: Path
) -> None:
    options, out, files = case
    write("bad.jsonl", ERROR)
    done = coordspec("validate", *options, "bad.jsonl")
    assert (done.status, done.err) == (1, "")
    assert (kind(done.out) if done.out else None) == out
    assert {p.name: kind(p.read_text()) for p in tmp_path.iterdir() if p.name != "bad.jsonl"} == files
    assert all((tmp_path / name).stat().st_mode & 0o777 == 0o666 & ~umask() for name in files)


def umask() -> int:
    mask = os.umask(0o022)
    os.umask(mask)
    return mask


def test_an_older_report_is_replaced(coordspec: Run, write: Write, tmp_path: Path) -> None:
    write("bad.jsonl", ERROR)
    write("r", "old")
    assert coordspec("validate", "bad.jsonl", "-o", "r").status == 1
    assert "old" not in (tmp_path / "r").read_text()


WRONG_OUTPUTS = [
    (["--format", "json", "-o", "a", "-o", "b"], "-o b follows no --format of its own; write --format NAME -o b"),
    (["-o", "a", "-o", "b"], "-o b follows no --format of its own; write --format NAME -o b"),
    (["-o", "a", "--format", "json", "-o", "a"], "a: is named for two reports; give each an -o of its own"),
    (["-o", "a", "--format", "json", "-o", "./a"], "a: is named for two reports; give each an -o of its own"),
    (["-o", "link"], "link: is being read; name another output"),
    (["-o", "hard"], "hard: is being read; name another output"),
    (["-o", "folder"], "folder: is a folder; name a file"),
    (["-o", "nowhere/r"], "nowhere/r: cannot be written: No such file or directory"),
]


@pytest.mark.parametrize(("options", "message"), WRONG_OUTPUTS)
def test_reports_that_go_nowhere(
    options: list[str], message: str, coordspec: Run, write: Write, tmp_path: Path
) -> None:
    write("bad.jsonl", ERROR)
    (tmp_path / "link").symlink_to("bad.jsonl")
    (tmp_path / "hard").hardlink_to(tmp_path / "bad.jsonl")
    (tmp_path / "folder").mkdir()
    before = sorted(tmp_path.iterdir())
    done = coordspec("validate", *options, "bad.jsonl")
    assert (done.status, done.out) == (2, "")
    assert message in done.err.splitlines()[-1]
    assert (sorted(tmp_path.iterdir()), (tmp_path / "bad.jsonl").read_text()) == (before, ERROR + "\n")


def test_a_device_or_pipe_is_not_replaced_by_a_report(spawn: Run, write: Write, tmp_path: Path) -> None:
    """``-o /dev/null``, run by root, must not make a file of it."""
    write("bad.jsonl", ERROR)
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    reader = os.open(pipe, os.O_RDWR | os.O_NONBLOCK)
    try:
        assert spawn("validate", "bad.jsonl", "-o", "pipe").status in (1, 2)
        assert pipe.is_fifo()
    finally:
        os.close(reader)


def test_a_baseline_in_use_is_not_replaced_by_a_report(coordspec: Run, write: Write, tmp_path: Path) -> None:
    write("bad.jsonl", ERROR)
    coordspec("validate", "bad.jsonl", "--write-baseline", "known.json")
    before = (tmp_path / "known.json").read_bytes()
    done = coordspec("validate", "bad.jsonl", "--baseline", "known.json", "-o", "known.json")
    assert done == Done(2, "", "error: known.json: is being read; name another output\n")
    assert (tmp_path / "known.json").read_bytes() == before


def test_no_colours_where_nobody_looks(spawn: Run, write: Write) -> None:
    write("bad.jsonl", ERROR)
    assert "\x1b" not in spawn("validate", "bad.jsonl").out


# ------------------------------------------------------------------------------------------------------- other options


def test_a_boolean_is_no_pixel(coordspec: Run, write: Write) -> None:
    write("a.jsonl", GOOD.replace("[1,", "[true,"))
    done = coordspec("validate", "a.jsonl", "--coord-space", "pixel", "--format", "json")
    assert [issue["message"] for issue in report(done)["issues"]] == ["true is a boolean, not a coordinate"]


def test_whole_file_checks_on_coordinates_are_silent_in_pixel_space(coordspec: Run, write: Write) -> None:
    for name in ("suspect-xywh", "suspect-pixel-coords", "suspect-double-normalised"):
        write("a.jsonl", *[rule(name).bad or ""] * DAT_LINES)
        done = coordspec("validate", "a.jsonl", "--coord-space", "pixel", "--format", "json")
        assert not [n for n in report(done)["summary"]["by_rule"] if n.startswith("suspect")]


def test_image_root_is_a_folder(coordspec: Run, write: Write) -> None:
    write("a.jsonl", GOOD)
    assert coordspec("validate", "a.jsonl", "--image-root", "nowhere", "--check-images").status == 2
    assert coordspec("validate", "a.jsonl", "--image-root", ".", "--check-images").status == 1
    assert coordspec("validate", "a.jsonl", "--image-root", ".", "--decode-images").status == 1


WRONG_NUMBERS = list(
    itertools.product(["--max-errors", "--sample", "--jobs", "--max-line-bytes"], ["0", "-1", "x", ""])
)


@pytest.mark.parametrize(("option", "value"), WRONG_NUMBERS)
def test_numbers_have_a_minimum(option: str, value: str, coordspec: Run, write: Write) -> None:
    write("a.jsonl", GOOD)
    done = coordspec("validate", "a.jsonl", option, value)
    assert (done.status, done.out) == (2, "")
    assert f"Invalid value for '{option}'" in done.err
