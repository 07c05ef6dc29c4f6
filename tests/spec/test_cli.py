"""Bindings of ``openspec/specs/cli``."""

from __future__ import annotations

import gzip
import json
import subprocess
import sys
import xml.etree.ElementTree as ET
from pathlib import Path
from typing import Any

import pytest
import zstandard
from spec_tools import BOX, ERROR, GOOD, WARNING, Done, coordspec, folder, lines, record, validate

from coordspec import __version__
from coordspec.contracts import rule_book
from coordspec.spec.binding import harness, scenario
from coordspec_cli.main import COMMANDS
from limits import HANG_S

pytestmark = pytest.mark.terminal

BOTH = GOOD.replace("3, 4", "1, 1000")
LINES = {"good": GOOD, "error": ERROR, "warning": WARNING, "both": BOTH}
COLUMN = ERROR.index("1000") + 1
OFFSET = len(GOOD) + 1 + ERROR.index("1000")
HINT = "write a norm1000 coordinate, from 0 to 999"


def write(**files: bytes) -> None:
    """Files of this folder, ``.jsonl`` by their names."""
    for name, data in files.items():
        Path(f"{name}.jsonl").write_bytes(data)


def report_of(data: bytes, *options: object) -> Done:
    """``coordspec validate a.jsonl`` on these bytes, with the report as the options say."""
    with folder():
        write(a=data)
        return coordspec("validate", "a.jsonl", *options)


def process(*words: object, **keywords: Any) -> subprocess.CompletedProcess[bytes]:
    """A Python process of its own."""
    return subprocess.run(
        [sys.executable, *map(str, words)], capture_output=True, timeout=HANG_S, check=False, **keywords
    )


# -------------------------------------------------------------------------------------------------------- exit status


@harness("validate-status")
def validate_status(lines: list[str], options: str, status: int, last: str) -> None:
    done = report_of("".join(LINES[name] + "\n" for name in lines).encode(), *options.split())
    assert (done.status, done.out.splitlines()[-1], done.err) == (status, last, "")


@harness("wrong-usage")
def wrong_usage(words: str, text: str) -> None:
    with folder() as here:
        write(good=lines(GOOD))
        (here / "empty").mkdir()
        done = coordspec(*words.split())
        assert (done.status, done.out) == (2, "")
        assert text in done.err
        assert "Traceback" not in done.err
        assert (here / "good.jsonl").read_bytes() == lines(GOOD)


@scenario("cli", "Exit status", "An unreadable file beside others", digest="f62759aec437")
def test_an_unreadable_file_beside_others() -> None:
    with folder() as here:
        write(a=lines(ERROR), c=lines(WARNING))
        (here / "b.jsonl.gz").write_bytes(b"no gzip")
        done = coordspec("validate", ".", "--format", "json")
    assert done.status == 2
    assert [item["path"] for item in done.report["unreadable"]] == ["b.jsonl.gz"]
    assert done.report["summary"]["by_rule"] == {"coord-range": 1, "degenerate-box": 1}


@scenario("cli", "Exit status", "The process exits so", digest="50f80f62a783")
def test_the_process_exits_so() -> None:
    with folder():
        write(good=lines(GOOD), bad=lines(ERROR))
        names = ("good.jsonl", "bad.jsonl", "nothing.jsonl")
        assert [process("-m", "coordspec_cli", "validate", name).returncode for name in names] == [0, 1, 2]


@scenario("cli", "Exit status", "A closed pipe", digest="4e7ab4bcda24")
def test_a_closed_pipe() -> None:
    with folder():
        write(a=lines(*[ERROR] * 5_000))
        words = [sys.executable, "-m", "coordspec_cli", "validate", "a.jsonl", "--max-errors", "5000"]
        with subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as running:
            assert running.stdout is not None
            assert running.stderr is not None
            assert running.stdout.readline().startswith(b"a.jsonl:1:")
            running.stdout.close()
            assert running.stderr.read() == b""
            assert running.wait(60) == 1  # the findings, not the reader that went away


# ------------------------------------------------------------------------------------------------------------- inputs


@harness("input-words")
def input_words(words: str, files: list[str]) -> None:
    with folder() as here:
        (here / "data/deep").mkdir(parents=True)
        for name in ("a.jsonl", "deep/b.jsonl", "notes.txt", "x.json"):
            (here / "data" / name).write_bytes(lines(ERROR))
        (here / "data/c.jsonl.gz").write_bytes(gzip.compress(lines(ERROR)))
        (here / "data/d.jsonl.zst").write_bytes(zstandard.compress(lines(ERROR)))
        done = coordspec("validate", *words.split(), "--format", "json")
    assert [issue["path"] for issue in done.report["issues"]] == files
    assert done.report["summary"]["files"] == len(files)


@scenario("cli", "Inputs of validate", "Standard input", digest="f9de68e7a26f")
def test_standard_input() -> None:
    done = process("-m", "coordspec_cli", "validate", "-", "--format", "json", input=lines(GOOD, ERROR))
    issues = json.loads(done.stdout)["issues"]
    assert [(issue["path"], issue["line"]) for issue in issues] == [("-", 2)]
    assert done.returncode == 1


# ----------------------------------------------------------------------------------------------------------- findings


@scenario("cli", "Findings have a place", "As text", digest="9ac1397eb8f6")
def test_as_text() -> None:
    assert report_of(lines(GOOD, ERROR)).out.splitlines() == [
        f"a.jsonl:2:{COLUMN}: error: objects[0].bbox_2d[2]: 1000 is above the maximum 999 (GEO003 coord-range)",
        f"    hint: {HINT}",
        "",
        "  1  error    GEO003  coord-range",
        "",
        "✗ 1 error in 1 of 2 records (1 file)",
    ]


@scenario("cli", "Findings have a place", "As JSON", digest="520e33528a1f")
def test_as_json() -> None:
    assert report_of(lines(GOOD, ERROR), "--format", "json").report["issues"] == [
        {
            "code": "GEO003",
            "name": "coord-range",
            "severity": "error",
            "path": "a.jsonl",
            "line": 2,
            "column": COLUMN,
            "byte_offset": OFFSET,
            "pointer": "/objects/0/bbox_2d/2",
            "message": "1000 is above the maximum 999",
            "hint": HINT,
        }
    ]


@scenario("cli", "Findings have a place", "Columns and bytes", digest="58e852ce26bc")
def test_columns_and_bytes() -> None:
    plain = validate(ERROR.replace("cat", "xxx")).report["issues"][0]
    wide = validate(ERROR.replace("cat", "é碗🐈")).report["issues"][0]
    assert wide["column"] == plain["column"]
    assert wide["byte_offset"] == plain["byte_offset"] + 1 + 2 + 3


@scenario("cli", "Findings have a place", "Compressed files", digest="67f809818d26")
def test_compressed_files() -> None:
    data = lines(GOOD, ERROR)
    with folder() as here:
        write(a=data)
        (here / "a.jsonl.gz").write_bytes(gzip.compress(data))
        (here / "a.jsonl.zst").write_bytes(zstandard.compress(data))
        issues = coordspec("validate", ".", "--format", "json").report["issues"]
    places = [(issue["line"], issue["column"], issue["byte_offset"]) for issue in issues]
    assert places == [(2, COLUMN, OFFSET)] * 3


@scenario("cli", "Findings have a place", "Text that a terminal would obey", digest="4830604c4ffe")
def test_text_that_a_terminal_would_obey() -> None:
    desc = "\x1b[31m\u202e<|im_end|>"
    done = report_of(lines(record(objects=[{"desc": desc, "bbox_2d": BOX}]).replace("\\u202e", "\u202e")))
    assert r'the desc "\u001b[31m\u202e<|im_end|>" holds the control character U+001B' in done.out
    assert "\x1b" not in done.out
    assert "\u202e" not in done.out


@harness("rule-choice")
def rule_choice(options: str, rules: list[str]) -> None:
    objects = '[{"desc": " ", "bbox_2d": [5, 5, 1, 1000]}, {"desc": "a", "bbox_2d": [5]}]'
    done = validate(f'{GOOD[:-1]}, "extra": 1, "objects": {objects}}}', *options.split())
    assert sorted(done.report["summary"]["by_rule"]) == rules


# ------------------------------------------------------------------------------------------------------------ reports


@scenario("cli", "Report formats", "Keys of the JSON report", digest="cd7723f7678a")
def test_keys_of_the_json_report() -> None:
    done = report_of(lines(BOTH), "--format", "json")
    summary = ["files", "records", "valid", "invalid", "errors", "warnings", "by_rule"]
    finding = ["code", "name", "severity", "path", "line", "column", "byte_offset", "pointer", "message", "hint"]
    assert list(done.report) == ["version", "summary", "issues", "truncated"]
    assert list(done.report["summary"]) == summary
    assert [list(issue) for issue in done.report["issues"]] == [finding] * 2


@scenario("cli", "Report formats", "JSON Lines", digest="36fca4eec2df")
def test_json_lines() -> None:
    *found, last = map(json.loads, report_of(lines(BOTH), "--format", "jsonl").out.splitlines())
    document = report_of(lines(BOTH), "--format", "json").report
    assert found == document["issues"]
    assert last["summary"] == document["summary"]


@scenario("cli", "Report formats", "SARIF", digest="c4b7448d4aab")
def test_sarif() -> None:
    document = report_of(lines(BOTH), "--format", "sarif").report
    issues = report_of(lines(BOTH), "--format", "json").report["issues"]
    (only,) = document["runs"]
    found = set()
    for result in only["results"]:
        region = result["locations"][0]["physicalLocation"]["region"]
        found.add((result["ruleId"], result["level"], region["startLine"], region["startColumn"]))
    assert document["version"] == "2.1.0"
    assert len(only["results"]) == 2
    assert found == {(i["code"], i["severity"], i["line"], i["column"]) for i in issues}


@scenario("cli", "Report formats", "GitHub annotations", digest="9709d47dbcb9")
def test_github_annotations() -> None:
    out = report_of(lines(*[ERROR] * 12), "--format", "github").out.splitlines()
    notices = [line for line in out if line.startswith("::notice ")]
    assert sum(line.startswith("::error ") for line in out) == 10
    assert len(notices) == 1
    assert "2 more findings are not shown" in notices[0]
    assert out[-1] == "✗ 12 errors in 12 of 12 records (1 file)"


@scenario("cli", "Report formats", "JUnit", digest="0930b466e6ec")
def test_junit() -> None:
    with folder():
        write(bad=lines(ERROR), good=lines(GOOD))
        root = ET.fromstring(coordspec("validate", ".", "--format", "junit").out)
    cases = {suite.get("name"): suite.findall("testcase") for suite in root.iter("testsuite")}
    assert set(cases) == {"bad.jsonl", "good.jsonl"}
    assert [len(case.findall("failure")) for case in cases["bad.jsonl"]] == [1]
    assert [len(list(case)) for case in cases["good.jsonl"]] == [0]


@scenario("cli", "Report formats", "Several reports at once", digest="3fca26bb3dd3")
def test_several_reports_at_once() -> None:
    with folder() as here:
        write(a=lines(GOOD, ERROR))
        done = coordspec("validate", "a.jsonl", "--format", "text", "--format", "json", "-o", "report.json")
        written = json.loads((here / "report.json").read_text())
    assert done.out == report_of(lines(GOOD, ERROR)).out
    assert written == report_of(lines(GOOD, ERROR), "--format", "json").report
    assert done.status == 1


@scenario("cli", "Report formats", "Two reports to one place", digest="8c2b25f7f250")
def test_two_reports_to_one_place() -> None:
    done = report_of(lines(GOOD), "--format", "text", "--format", "json")
    message = "error: standard output: is named for two reports; give each an -o of its own\n"
    assert done == (2, "", message)


@scenario("cli", "Report formats", "More findings than are listed", digest="9e297c8e16f2")
def test_more_findings_than_are_listed() -> None:
    document = report_of(lines(*[BOTH] * 5), "--max-errors", "2", "--format", "json").report
    severities = [issue["severity"] for issue in document["issues"]]
    assert (severities.count("error"), severities.count("warning"), len(severities)) == (2, 2, 4)
    assert document["truncated"] is True
    assert (document["summary"]["errors"], document["summary"]["warnings"]) == (5, 5)
    text = report_of(lines(*[BOTH] * 5), "--max-errors", "2").out
    assert "… 6 more findings not listed (--max-errors)" in text.splitlines()


@scenario("cli", "Report formats", "Counts alone", digest="03af6f2284f1")
def test_counts_alone() -> None:
    assert report_of(lines(*[BOTH] * 5), "--statistics").out.splitlines() == [
        "",
        "  5  error    GEO003  coord-range",
        "  5  warning  GEO008  degenerate-box",
        "",
        "note: only counts were asked for (--statistics)",
        "✗ 5 errors, 5 warnings in 5 of 5 records (1 file)",
    ]


# ---------------------------------------------------------------------------------------------------------- baselines


def against_baseline(*texts: str) -> Done:
    """Validate ``a.jsonl`` with these lines against ``base.json`` of this folder."""
    write(a=lines(*texts))
    return coordspec("validate", "a.jsonl", "--baseline", "base.json", "--format", "json")


def write_baseline() -> Done:
    """The baseline of a file with two errors of one rule, as ``base.json``."""
    write(a=lines(ERROR, ERROR))
    return coordspec("validate", "a.jsonl", "--write-baseline", "base.json")


@scenario("cli", "Baselines", "Known findings", digest="25f395b80f04")
def test_known_findings() -> None:
    with folder():
        assert write_baseline().status == 0
        done = against_baseline(ERROR, ERROR)
    assert done.status == 0
    assert done.report["issues"] == []
    assert done.report["notes"] == ["2 findings stand in the baseline and are not counted"]


@scenario("cli", "Baselines", "A file that changed", digest="bd676c373904")
def test_a_file_that_changed() -> None:
    with folder():
        write_baseline()
        assert against_baseline(GOOD, GOOD, ERROR, ERROR).status == 0
        done = against_baseline(GOOD, GOOD, ERROR, ERROR, ERROR)
    assert (done.status, [issue["line"] for issue in done.report["issues"]]) == (1, [3, 4, 5])


@scenario("cli", "Baselines", "The file", digest="1d2e3665a866")
def test_the_file() -> None:
    with folder() as here:
        write_baseline()
        assert json.loads((here / "base.json").read_text()) == {"version": 1, "files": {"a.jsonl": {"GEO003": 2}}}


@scenario("cli", "Baselines", "Another file is not replaced", digest="d6f030c40128")
def test_another_file_is_not_replaced() -> None:
    with folder() as here:
        (here / "base.json").write_text('{"mine": 1}')
        assert write_baseline().status == 2
        assert (here / "base.json").read_text() == '{"mine": 1}'


# ------------------------------------------------------------------------------------------------- samples and workers


@scenario("cli", "Samples and workers", "The same sample", digest="3224913d8908")
def test_the_same_sample() -> None:
    runs = []
    for seed in (1, 1, 2):
        done = report_of(lines(*[ERROR] * 100), "--sample", "10", "--seed", seed, "--format", "json")
        assert done.report["summary"]["records"] == 10
        note = f"only a sample was checked: at most 10 lines of each file, seed {seed}"
        assert done.report["notes"] == [note]
        runs.append([issue["line"] for issue in done.report["issues"]])
    assert len(set(runs[0])) == 10
    assert runs[0] == runs[1]
    assert runs[0] != runs[2]


@scenario("cli", "Samples and workers", "Workers", digest="db2991e91b7c")
def test_workers() -> None:
    with folder():
        write(**{f"part{i}": lines(*[GOOD] * i, ERROR, BOTH, WARNING) for i in range(6)})
        one, three = (coordspec("validate", ".", "--format", "json", "--jobs", jobs) for jobs in (1, 3))
    assert one.report == three.report
    assert one.report["summary"]["errors"] == 12


# -------------------------------------------------------------------------------------------------------------- rules


@scenario("cli", "Rules explain themselves", "One rule", digest="6be27d5d9964")
def test_one_rule() -> None:
    by_name, by_code = coordspec("rule", "coord-range"), coordspec("rule", "GEO003")
    assert by_name == by_code
    assert by_name.status == 0
    known = rule_book().by_name["coord-range"]
    assert known.bad_line is not None
    for text in ("GEO003", "coord-range", "There is no token for it", known.bad_line.decode(), known.good):
        assert text in by_name.out


@scenario("cli", "Rules explain themselves", "Every rule", digest="f15342409712")
def test_every_rule() -> None:
    listed = coordspec("rules", "--format", "json").report
    wanted = [(rule.code, rule.name, rule.severity.value) for rule in rule_book().by_name.values()]
    assert [(item["code"], item["name"], item["severity"]) for item in listed] == wanted
    assert all(item["message"] for item in listed)


@scenario("cli", "Rules explain themselves", "One family", digest="69b5a8542564")
def test_one_family() -> None:
    listed = coordspec("rules", "--family", "GEO", "--format", "json").report
    wanted = [rule.code for rule in rule_book().by_name.values() if rule.code.startswith("GEO")]
    assert wanted
    assert [item["code"] for item in listed] == wanted


# -------------------------------------------------------------------------------------------------------------- start

WITHOUT_TORCH = """
import sys
sys.modules["torch"] = None
from coordspec_cli.main import run
commands = [line.split() for line in sys.argv[1].splitlines()]
print([run(words) for words in commands], file=sys.stderr)
"""
EVERY_COMMAND = """
shapes -o s --train 2 --val 1
validate s --check-images
stats s
fix s/train.jsonl -o fixed.jsonl
coords s/train.jsonl --to token -o tokens.jsonl
convert coco instances.json -o coco.jsonl
rule coord-range
rules
"""
HELP = """
import sys
from coordspec_cli.main import run
run(["--help"])
print(sorted(set(sys.argv[1:]) & set(sys.modules)))
"""
HEAVY = ("torch", "numpy", "pydantic", "jsonschema", "yaml", "rich", "PIL", "msgspec")


@scenario("cli", "A light start", "No torch", digest="ea72ac9f2605")
def test_no_torch() -> None:
    words = EVERY_COMMAND.strip()
    assert {line.split()[0] for line in words.splitlines()} <= set(COMMANDS)
    coco = {"images": [{"id": 1, "file_name": "a.png", "width": 9, "height": 9}], "annotations": [], "categories": []}
    with folder() as here:
        (here / "instances.json").write_text(json.dumps(coco))
        done = process("-c", WITHOUT_TORCH, words)
    assert done.stderr.decode().splitlines()[-1] == "[0, 0, 0, 0, 0, 0, 0, 0]"


@scenario("cli", "A light start", "Help imports little", digest="5a75e94bc5d4")
def test_help_imports_little() -> None:
    *shown, imported = process("-c", HELP, *HEAVY).stdout.decode().splitlines()
    assert imported == "[]"
    text = " ".join(" ".join(shown).split())
    assert all(f"{name} {help_text}" in text for name, help_text in COMMANDS.items())


@scenario("cli", "A light start", "Version", digest="18d99dd2c0a5")
def test_version() -> None:
    assert coordspec("--version") == (0, f"coordspec {__version__}\n", "")
