"""Every format of a report: exact texts, hostile data, and every limit seen cutting."""

from __future__ import annotations

import gzip
import io
import json
import random
import re
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any
from urllib.parse import unquote_to_bytes
from xml.etree import ElementTree as ET

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from coordspec import __version__
from coordspec.contracts import rule, rule_book
from coordspec.errors import InputError, Issue, Place, Pointer, Severity
from coordspec.findings import github, junit, sarif, visible
from coordspec.findings.formats import FORMATS, write_report
from coordspec.findings.outcome import Outcome
from coordspec.findings.text import text_lines, verdict

FORMATS_MD = Path(__file__).parent.parent / "docs/formats.md"


def outcome(
    issues: Sequence[Issue] = (),
    *,
    files: Sequence[str] = ("data.jsonl",),
    records: int = 10,
    hidden: Sequence[Issue] = (),
    unreadable: Sequence[InputError] = (),
    notes: Sequence[str] = (),
) -> Outcome:
    """An outcome that lists ``issues`` and has counted ``hidden`` as well; each error is one invalid record."""
    counted = [*issues, *hidden]
    severities = Counter(issue.severity for issue in counted)
    errors = severities[Severity.ERROR]
    return Outcome(
        files=tuple(files),
        records=records,
        valid=records - min(errors, records),
        invalid=min(errors, records),
        errors=errors,
        warnings=severities[Severity.WARNING],
        by_rule=Counter(issue.name for issue in counted),
        issues=tuple(issues),
        truncated=bool(hidden),
        unreadable=tuple(unreadable),
        notes=tuple(notes),
    )


def issue(name: str, line: int | None = 12, *, path: str = "data.jsonl", at: Pointer = (), **values: object) -> Issue:
    place = Place(path) if line is None else Place(path, line, 88, 1000 * line, at)
    return rule(name).issue(place, values)


def coord_range(line: int, path: str = "data.jsonl") -> Issue:
    said = {"value": "1000", "side": "above", "bound": "maximum", "limit": 999}
    fix = {"space": "norm1000", "minimum": 0, "maximum": 999}
    return issue("coord-range", line, path=path, at=("objects", 3, "bbox_2d", 2), **said, **fix)


def unknown_field(line: int, field: str = "sumary") -> Issue:
    return issue("unknown-field", line, at=(field,), field=field, suggestion="")


def written(result: Outcome, name: str) -> str:
    stream = io.StringIO()
    write_report(result, name, stream)
    return stream.getvalue()


USUAL = outcome(
    [coord_range(12), coord_range(13), unknown_field(20), issue("no-records", None, path="empty.jsonl")],
    files=("data.jsonl", "empty.jsonl", "clean.jsonl"),
    hidden=[unknown_field(21)],
    unreadable=[InputError("d.jsonl.gz", "broken gzip data")],
    notes=["a sample of 10 lines was checked"],
)


# ---------------------------------------------------------------- text


def test_text() -> None:
    assert written(USUAL, "text") == (
        "data.jsonl:12:88: error: objects[3].bbox_2d[2]: 1000 is above the maximum 999 (GEO003 coord-range)\n"
        "    hint: write a norm1000 coordinate, from 0 to 999\n"
        "data.jsonl:13:88: error: objects[3].bbox_2d[2]: 1000 is above the maximum 999 (GEO003 coord-range)\n"
        "data.jsonl:20:88: warning: sumary: the field sumary is not part of the contract (REC003 unknown-field)\n"
        "    hint: remove it, correct its spelling, or move it under metadata\n"
        "empty.jsonl: error: the file holds no records (DAT004 no-records)\n"
        "    hint: check how the file was written\n"
        "… 1 more finding not listed (--max-errors)\n"
        "\n"
        "  1  error    DAT004  no-records\n"
        "  2  error    GEO003  coord-range\n"
        "  2  warning  REC003  unknown-field\n"
        "\n"
        "error: d.jsonl.gz: broken gzip data\n"
        "note: a sample of 10 lines was checked\n"
        "✗ 3 errors, 2 warnings in 3 of 10 records (3 files), 1 unreadable input\n"
    )


@pytest.mark.parametrize(
    ("result", "last"),
    [
        (outcome(files=("a", "b")), "✓ 10 records in 2 files are valid"),
        (
            outcome(unreadable=[InputError("a", "no such file")]),
            "✗ 10 records in 1 file are valid, 1 unreadable input",
        ),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_the_last_line_of_text(result: Outcome, last: str) -> None:
    assert list(text_lines(result))[-1] == last


def test_text_of_nothing_is_one_line() -> None:
    assert written(outcome(), "text") == "✓ 10 records in 1 file are valid\n"


def test_a_raised_severity_is_shown_in_the_table() -> None:
    strict = rule("unknown-field").issue(Place("f", 1), {"field": "x", "suggestion": ""}, Severity.ERROR)
    assert "  1  error    REC003  unknown-field" in list(text_lines(outcome([strict])))


def test_styles_colour_every_role_and_change_no_text() -> None:
    roles: set[str] = set()

    def style(text: str, role: visible.Role) -> str:
        roles.add(role)
        return f"\x1b[{text}\x1b]"

    stream = io.StringIO()
    write_report(USUAL, "text", stream, style)
    assert re.sub(r"\x1b[\[\]]", "", stream.getvalue()) == written(USUAL, "text")
    assert roles == {"error", "warning", "path", "dim"}
    assert "\x1b[✓ 10 records in 1 file are valid\x1b]" in list(text_lines(outcome(), style))


def test_a_narrow_stream_gets_escapes_instead_of_an_error() -> None:
    buffer = io.BytesIO()
    stream = io.TextIOWrapper(buffer, encoding="ascii", newline="")
    for name in FORMATS:
        write_report(outcome([unknown_field(1, "größe")]), name, stream)
    stream.flush()
    assert b"the field gr\\xf6\\xdfe is not part" in buffer.getvalue()


# ---------------------------------------------------------------- json, jsonl

SUMMARY = {
    "files": 3,
    "records": 10,
    "valid": 7,
    "invalid": 3,
    "errors": 3,
    "warnings": 2,
    "by_rule": {"no-records": 1, "coord-range": 2, "unknown-field": 2},
}
REMARKS = {
    "notes": ["a sample of 10 lines was checked"],
    "unreadable": [{"path": "d.jsonl.gz", "reason": "broken gzip data"}],
}


def test_json() -> None:
    report = json.loads(written(USUAL, "json"))
    assert list(report) == ["version", "summary", "issues", "truncated", "notes", "unreadable"]
    assert report["version"] == __version__
    assert report["summary"] == SUMMARY
    assert list(report["summary"]["by_rule"]) == ["no-records", "coord-range", "unknown-field"]
    assert report["truncated"] is True
    assert {key: report[key] for key in REMARKS} == REMARKS
    assert len(report["issues"]) == 4
    assert report["issues"][0] == {
        "code": "GEO003",
        "name": "coord-range",
        "severity": "error",
        "path": "data.jsonl",
        "line": 12,
        "column": 88,
        "byte_offset": 12000,
        "pointer": "/objects/3/bbox_2d/2",
        "message": "1000 is above the maximum 999",
        "hint": "write a norm1000 coordinate, from 0 to 999",
    }
    assert [report["issues"][3][key] for key in ("line", "column", "byte_offset", "pointer")] == [None] * 4


def test_json_without_remarks_has_exactly_four_keys() -> None:
    assert list(json.loads(written(outcome(), "json"))) == ["version", "summary", "issues", "truncated"]


def test_jsonl() -> None:
    *issues, last = map(json.loads, written(USUAL, "jsonl").splitlines())
    assert issues == json.loads(written(USUAL, "json"))["issues"]
    assert last == {"summary": SUMMARY, "truncated": True, "version": __version__, **REMARKS}


# ---------------------------------------------------------------- sarif


def sarif_run(result: Outcome) -> dict[str, Any]:
    log = json.loads(written(result, "sarif"))
    assert set(log) == {"$schema", "version", "runs"}
    assert log["version"] == "2.1.0"
    (run,) = log["runs"]
    assert isinstance(run, dict)
    return run


def test_sarif_results() -> None:
    results = sarif_run(USUAL)["results"]
    assert [result["level"] for result in results] == ["error", "error", "error", "warning"]
    assert results[0] == {
        "ruleId": "GEO003",
        "ruleIndex": list(rule_book().by_name).index("coord-range"),
        "level": "error",
        "message": {"text": "1000 is above the maximum 999. Fix: write a norm1000 coordinate, from 0 to 999"},
        "locations": [
            {
                "physicalLocation": {
                    "artifactLocation": {"uri": "data.jsonl", "uriBaseId": "%SRCROOT%"},
                    "region": {"startLine": 12, "startColumn": 88, "byteOffset": 12000},
                },
                "logicalLocations": [{"fullyQualifiedName": "objects[3].bbox_2d[2]", "kind": "value"}],
            }
        ],
        "partialFingerprints": results[0]["partialFingerprints"],
    }
    file_level = results[2]["locations"]
    assert file_level == [{"physicalLocation": {"artifactLocation": {"uri": "empty.jsonl", "uriBaseId": "%SRCROOT%"}}}]


def test_sarif_run() -> None:
    run = sarif_run(USUAL)
    assert run["columnKind"] == "unicodeCodePoints"
    assert list(run["originalUriBaseIds"]) == ["%SRCROOT%"]
    assert run["properties"] == {"resultsLeftOut": 1}
    (invocation,) = run["invocations"]
    assert invocation["executionSuccessful"] is False
    assert [(n["level"], n["message"]["text"]) for n in invocation["toolExecutionNotifications"]] == [
        ("error", "cannot be read: broken gzip data"),
        (
            "warning",
            "The output was cut: 1 more finding is not in this file. coordspec lists as many as --max-errors allows; "
            "GitHub code scanning takes 25000 results and 10000000 bytes of gzip.",
        ),
        ("note", "a sample of 10 lines was checked"),
    ]


def test_sarif_of_nothing() -> None:
    run = sarif_run(outcome())
    assert run["results"] == []
    assert run["invocations"] == [{"executionSuccessful": True}]
    assert "properties" not in run


def test_sarif_rules() -> None:
    driver = sarif_run(USUAL)["tool"]["driver"]
    assert (driver["name"], driver["version"]) == ("coordspec", __version__)
    assert [entry["id"] for entry in driver["rules"]] == [item.code for item in rule_book().by_name.values()]
    by_id = {entry["id"]: entry for entry in driver["rules"]}
    entry = by_id["GEO003"]
    assert entry["name"] == "coord-range"
    assert entry["shortDescription"] == {"text": "‹value› is ‹side› the ‹bound› ‹limit›"}
    assert entry["fullDescription"] == {"text": rule("coord-range").why}
    assert entry["defaultConfiguration"] == {"level": "error"}
    assert by_id["REC003"]["defaultConfiguration"] == {"level": "warning"}
    assert set(entry["help"]) == {"text", "markdown"}
    assert "helpUri" not in entry
    for text in (entry[key]["text"] for entry in driver["rules"] for key in ("shortDescription", "fullDescription")):
        assert 0 < len(text) <= sarif.MAX_TEXT_CHARS


@pytest.mark.parametrize(
    ("path", "location"),
    [
        ("a b/ü#%.jsonl", {"uri": "a%20b/%C3%BC%23%25.jsonl", "uriBaseId": "%SRCROOT%"}),
        ("./a//b/../c.jsonl", {"uri": "a/c.jsonl", "uriBaseId": "%SRCROOT%"}),
        ("c:d.jsonl", {"uri": "c%3Ad.jsonl", "uriBaseId": "%SRCROOT%"}),
        ("-", {"uri": "-", "uriBaseId": "%SRCROOT%"}),
        ("/data/a b.jsonl", {"uri": "file:///data/a%20b.jsonl"}),
        ("//data/a.jsonl", {"uri": "file:///data/a.jsonl"}),
        ("caf\udce9.jsonl", {"uri": "caf%E9.jsonl", "uriBaseId": "%SRCROOT%"}),
        ("\ud83d.jsonl", {"uri": "%EF%BF%BD.jsonl", "uriBaseId": "%SRCROOT%"}),
    ],
)
def test_sarif_artifact_location(path: str, location: dict[str, str]) -> None:
    assert sarif.artifact(path) == location


def test_sarif_makes_a_path_that_leaves_the_folder_absolute(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "work").mkdir()
    monkeypatch.chdir(tmp_path / "work")
    assert sarif.artifact("../x.jsonl") == {"uri": (tmp_path / "x.jsonl").as_uri()}


def fingerprints(issues: Sequence[Issue]) -> list[str]:
    return [result["partialFingerprints"]["primaryLocationLineHash"] for result in sarif.sarif_results(issues)]


def test_sarif_fingerprints_stay_when_lines_move_and_differ_otherwise() -> None:
    before = fingerprints([coord_range(12), coord_range(30), unknown_field(40)])
    assert fingerprints([coord_range(13), coord_range(31), unknown_field(41)]) == before
    assert len(set(before)) == 3
    assert before[0].split(":")[0] == before[1].split(":")[0]
    assert [print_.split(":")[1] for print_ in before] == ["1", "2", "1"]
    others = [coord_range(12, path="b.jsonl"), unknown_field(1, "b"), issue("blank-line", 3)]
    assert set(fingerprints(others)).isdisjoint(before)


@pytest.mark.parametrize(
    ("message", "text"),
    [
        ('{"a": {0}} is', '{{"a": {{0}}}} is'),
        ("[cats](http://example.org)", "\\[cats\\](http://example.org)"),
        ("the box [3, 2] (odd)", "the box [3, 2] (odd)"),
        ("a\x1b[31m\u202eb", "a\\x1b[31m\\u202eb"),
    ],
)
def test_sarif_messages_hold_no_placeholder_and_no_link(message: str, text: str) -> None:
    found = Issue("JSN001", "invalid-json", Severity.ERROR, Place("f", 1), message, "")
    assert sarif_run(outcome([found]))["results"][0]["message"]["text"] == text


def test_sarif_texts_are_cut() -> None:
    long = unknown_field(1, "x" * 5000)
    (result,) = sarif_run(outcome([long]))["results"]
    assert len(result["message"]["text"]) <= sarif.MAX_TEXT_CHARS
    assert "…. Fix: remove it" in result["message"]["text"]
    (logical,) = result["locations"][0]["logicalLocations"]
    assert len(logical["fullyQualifiedName"]) == visible.SHOWN_CHARS


def test_sarif_is_cut_to_25000_results_and_errors_stay() -> None:
    warnings = [unknown_field(line) for line in range(1, sarif.MAX_RESULTS + 1)]
    run = sarif_run(outcome([*warnings, *map(coord_range, range(1, 8))], records=30000))
    assert len(run["results"]) == sarif.MAX_RESULTS == 25_000
    assert [result["level"] for result in run["results"][:8]] == ["error"] * 7 + ["warning"]
    assert run["properties"] == {"resultsLeftOut": 7}
    (notification,) = run["invocations"][0]["toolExecutionNotifications"]
    assert notification["level"] == "warning"
    assert notification["message"]["text"].startswith("The output was cut: 7 more findings are not in this file.")


def noisy(count: int) -> list[Issue]:
    """Findings whose messages do not compress."""
    dice = random.Random(7)
    texts = ("".join(map(chr, dice.choices(range(0x4E00, 0x9F00), k=480))) for _ in range(count))
    return [Issue("JSN001", "invalid-json", Severity.ERROR, Place("f", 1), text, "") for text in texts]


def test_sarif_is_cut_to_a_compressed_size() -> None:
    result = outcome(noisy(300), records=300)
    text = sarif.sarif_text(result, max_gzip_bytes=200_000)
    assert 150_000 < len(gzip.compress(text.encode())) <= 200_000
    (run,) = json.loads(text)["runs"]
    assert run["properties"] == {"resultsLeftOut": 300 - len(run["results"])}
    assert sarif.sarif_text(result) == sarif.sarif_text(result, max_gzip_bytes=2_000_000)


def test_sarif_that_can_never_be_small_enough_keeps_no_results() -> None:
    text = sarif.sarif_text(outcome(noisy(3)), max_gzip_bytes=10)
    assert json.loads(text)["runs"][0]["results"] == []


@pytest.mark.nightly
def test_sarif_is_cut_to_10_mb_compressed() -> None:
    text = written(outcome(noisy(15_000), records=15_000), "sarif")
    assert 9_000_000 < len(gzip.compress(text.encode())) <= sarif.MAX_GZIP_BYTES == 10_000_000


# ---------------------------------------------------------------- github


def test_github() -> None:
    assert written(USUAL, "github") == (
        "::error file=d.jsonl.gz,title=unreadable input::broken gzip data\n"
        "::error file=data.jsonl,line=12,col=88,title=GEO003 coord-range::"
        "objects[3].bbox_2d[2]: 1000 is above the maximum 999%0Ahint: write a norm1000 coordinate, from 0 to 999\n"
        "::error file=data.jsonl,line=13,col=88,title=GEO003 coord-range::"
        "objects[3].bbox_2d[2]: 1000 is above the maximum 999%0Ahint: write a norm1000 coordinate, from 0 to 999\n"
        "::warning file=data.jsonl,line=20,col=88,title=REC003 unknown-field::"
        "sumary: the field sumary is not part of the contract%0A"
        "hint: remove it, correct its spelling, or move it under metadata\n"
        "::error file=empty.jsonl,title=DAT004 no-records::"
        "the file holds no records%0Ahint: check how the file was written\n"
        "::notice title=coordspec::1 more finding is not shown: GitHub shows 10 errors and 10 warnings a step. See "
        "all of them with --format text, or upload --format sarif to code scanning.%0A"
        "a sample of 10 lines was checked\n"
        "✗ 3 errors, 2 warnings in 3 of 10 records (3 files), 1 unreadable input\n"
    )


@pytest.mark.parametrize(
    ("properties", "text", "line"),
    [
        ({"file": "a:b,c%.jsonl"}, "100%: a, b", "::error file=a%3Ab%2Cc%25.jsonl::100%25: a, b"),
        ({"file": "a\r\nb"}, "a\nb\r", "::error file=a\\r\\nb::a%0Ab%0D"),
        ({"file": "x", "line": 3}, "::error::", "::error file=x,line=3::::error::"),
    ],
)
def test_github_escapes(properties: dict[str, object], text: str, line: str) -> None:
    assert github.command("error", properties, text) == line


def test_github_data_cannot_start_a_command() -> None:
    evil = unknown_field(1, "x\n::set-output name=a::b\r\n::stop-commands::x")
    assert [line[:9] for line in written(outcome([evil]), "github").splitlines()] == ["::warning", "✓ 10 reco"]


def test_github_is_cut_to_ten_of_a_kind_and_says_so() -> None:
    issues = [*map(coord_range, range(1, 26)), *map(unknown_field, range(1, 13))]
    lines = written(outcome(issues, records=99), "github").splitlines()
    assert Counter(line.split()[0] for line in lines[:-1]) == {"::error": 10, "::warning": 10, "::notice": 1}
    assert [re.findall(r"line=(\d+)", line)[0] for line in lines[:10]] == [str(n) for n in range(1, 11)]
    assert "17 more findings are not shown" in lines[-2]


def test_github_shows_each_rule_where_it_can() -> None:
    last = [issue("blank-line", 50), issue("no-images", 51), issue("mixed-coords", 52)]
    lines = written(outcome([*map(coord_range, range(1, 26)), *last], records=99), "github").splitlines()
    shown = [re.findall(r"line=(\d+)", line)[0] for line in lines if line.startswith("::error")]
    assert shown == ["1", "2", "3", "4", "5", "6", "7", "50", "51", "52"]


def test_github_unreadable_inputs_take_part_in_the_limit() -> None:
    inputs = [InputError(f"{n}.jsonl", "no such file") for n in range(12)]
    lines = written(outcome([coord_range(1)], unreadable=inputs), "github").splitlines()
    assert Counter(line.split()[0] for line in lines[:-1]) == {"::error": 10, "::notice": 1}
    assert "3 more findings are not shown" in lines[-2]


# ---------------------------------------------------------------- junit


def cases(result: Outcome) -> dict[str, dict[str, list[str]]]:
    """Suite → case → tags of what stands in the case; the counts of every suite are checked on the way."""
    text = written(result, "junit")
    assert text.isascii()
    root = ET.fromstring(text)
    for suite in (root, *root):
        for attribute, tag in (
            ("tests", "testcase"),
            ("failures", "failure"),
            ("errors", "error"),
            ("skipped", "skipped"),
        ):
            assert int(suite.attrib[attribute]) == len(list(suite.iter(tag)))
    return {suite.attrib["name"]: {case.attrib["name"]: [e.tag for e in case] for case in suite} for suite in root}


def test_junit() -> None:
    assert cases(USUAL) == {
        "data.jsonl": {"REC003 unknown-field": ["system-out"], "GEO003 coord-range": ["failure"]},
        "empty.jsonl": {"DAT004 no-records": ["failure"]},
        "clean.jsonl": {"valid": []},
        "d.jsonl.gz": {"readable": ["error"]},
        "coordspec": {"all findings are listed": ["skipped"], "notes": ["system-out"]},
    }


def test_junit_text() -> None:
    text = written(outcome([coord_range(12), coord_range(13)]), "junit")
    assert text == (
        "<?xml version='1.0' encoding='us-ascii'?>\n"
        '<testsuites name="coordspec" tests="1" failures="1" errors="0" skipped="0" time="0">\n'
        '  <testsuite name="data.jsonl" tests="1" failures="1" errors="0" skipped="0" time="0">\n'
        '    <testcase classname="data.jsonl" name="GEO003 coord-range" time="0">\n'
        '      <failure message="2 findings" type="GEO003">'
        "data.jsonl:12:88: error: objects[3].bbox_2d[2]: 1000 is above the maximum 999\n"
        "data.jsonl:13:88: error: objects[3].bbox_2d[2]: 1000 is above the maximum 999\n"
        "hint: write a norm1000 coordinate, from 0 to 999</failure>\n"
        "    </testcase>\n"
        "  </testsuite>\n"
        "</testsuites>\n"
    )


def test_junit_lists_the_first_findings_of_a_rule() -> None:
    (failure,) = ET.fromstring(written(outcome(list(map(coord_range, range(1, 31))), records=99), "junit")).iter(
        "failure"
    )
    lines = (failure.text or "").splitlines()
    assert failure.attrib["message"] == "30 findings"
    assert len(lines) == junit.LISTED + 2
    assert lines[-2:] == ["… and 10 more", "hint: write a norm1000 coordinate, from 0 to 999"]


def test_junit_passes_no_file_that_may_have_errors_which_are_not_listed() -> None:
    result = outcome([coord_range(1)], files=("data.jsonl", "b.jsonl"), hidden=[coord_range(2, "b.jsonl")])
    assert cases(result) == {
        "data.jsonl": {"GEO003 coord-range": ["failure"]},
        "b.jsonl": {"valid": ["skipped"]},
        "coordspec": {"all findings are listed": ["failure"]},
    }


# ---------------------------------------------------------------- whatever the data holds

anything = st.text(st.characters(exclude_categories=()), max_size=30)
numbers = st.integers(1, 10**9)
places = st.one_of(
    st.builds(Place, anything),
    st.builds(
        Place,
        anything,
        numbers,
        numbers,
        st.integers(0, 10**12),
        st.lists(st.one_of(anything, st.integers(0, 99)), max_size=4).map(tuple),
    ),
)
issues_of_anything = st.builds(
    lambda item, severity, place, message, hint: Issue(item.code, item.name, severity, place, message, hint),
    st.sampled_from(list(rule_book().by_name.values())),
    st.sampled_from(Severity),
    places,
    anything,
    anything,
)
outcomes = st.builds(
    lambda issues, hidden, files, unreadable, notes: outcome(
        issues, hidden=hidden, files=files, unreadable=unreadable, notes=notes
    ),
    st.lists(issues_of_anything, max_size=30),
    st.lists(issues_of_anything, max_size=3),
    st.lists(anything, max_size=3),
    st.lists(st.builds(InputError, anything, anything), max_size=12),
    st.lists(anything, max_size=2),
)


@given(anything)
def test_visible_text_is_one_line_of_harmless_characters(text: str) -> None:
    result = visible.visible(text)
    assert result.encode("utf-8").decode("utf-8") == result
    assert len((result + "x").splitlines()) == 1
    assert all(c >= " " and c not in "\x7f\u061c\u200e\u200f\ufeff\ufffe\uffff" for c in result)
    assert not re.search("[\x80-\x9f\u202a-\u202e\u2066-\u2069]", result)
    assert visible.visible(result) == result
    ET.fromstring(ET.tostring(ET.Element("x", text=result)))


@pytest.mark.parametrize(
    ("text", "escaped"),
    [
        ("\x1b[31mred", "\\x1b[31mred"),
        ("a\u202eb\u2066c", "a\\u202eb\\u2066c"),
        ("line\nbreak\ttab\x00", "line\\nbreak\\ttab\\x00"),
        ("\ud83d", "\\ud83d"),
        ("\x9b31m\x7f", "\\x9b31m\\x7f"),
        ("naïve 碗 👩‍👧 C:\\dir", "naïve 碗 👩‍👧 C:\\dir"),
    ],
)
def test_visible(text: str, escaped: str) -> None:
    assert visible.visible(text) == escaped


@pytest.mark.parametrize(
    ("text", "limit", "cut"),
    [("abcd", 4, "abcd"), ("abcde", 4, "abc…"), ("\x00\x00", 8, "\\x00\\x00"), ("\x00", 3, "\\x…")],
)
def test_shown_is_cut_to_its_limit(text: str, limit: int, cut: str) -> None:
    assert visible.shown(text, limit) == cut


@given(outcomes)
def test_json_and_jsonl_of_anything_are_strict_and_say_the_same(result: Outcome) -> None:
    text = written(result, "json")
    assert text.isascii()
    report = orjson.loads(text)
    assert report == json.loads(text)
    assert [entry["message"] for entry in report["issues"]] == [visible.encodable(i.message) for i in result.issues]
    *issues, last = map(orjson.loads, written(result, "jsonl").splitlines())
    assert issues == report.pop("issues")
    assert last == report


@given(outcomes)
def test_text_of_anything_is_safe_to_print(result: Outcome) -> None:
    lines = written(result, "text").split("\n")
    assert [line for line in lines if visible.visible(line) != line] == []


UNESCAPES = (("%2C", ","), ("%3A", ":"), ("%0A", "\n"), ("%0D", "\r"), ("%25", "%"))


def unescaped(text: str) -> str:
    for escape, character in UNESCAPES:
        text = text.replace(escape, character)
    return text


@given(outcomes)
def test_github_of_anything_reads_back_as_the_runner_reads_it(result: Outcome) -> None:
    *lines, last = written(result, "github").rstrip("\n").split("\n")
    assert last.startswith(("✓ ", "✗ "))
    kinds: Counter[str] = Counter()
    messages = {visible.sentence(i) + (f"\nhint: {visible.shown(i.hint)}" if i.hint else "") for i in result.issues}
    paths = {
        visible.visible(place)
        for place in (*(i.place.path for i in result.issues), *(e.subject for e in result.unreadable))
    }
    for line in lines:
        match = re.fullmatch(r"::(error|warning|notice) ([^:]*)::(.*)", line)
        assert match, line
        kinds[match[1]] += 1
        properties = dict(part.split("=", 1) for part in match[2].split(","))
        if properties["title"] not in ("unreadable input", "coordspec"):
            assert unescaped(match[3]) in messages
        if "file" in properties:
            assert unescaped(properties["file"]) in paths
    assert max(kinds.values(), default=0) <= github.MAX_ANNOTATIONS


@given(outcomes)
def test_junit_of_anything_parses_and_counts(result: Outcome) -> None:
    text = written(result, "junit")
    root = ET.fromstring(text)
    listed = {(i.place.path, i.name) for i in result.issues if i.severity is Severity.ERROR}
    assert text.isascii()
    assert int(root.attrib["errors"]) == len(result.unreadable)
    assert int(root.attrib["failures"]) - len(
        root.findall("*/testcase[@name='all findings are listed']/failure")
    ) == len(listed)


@given(outcomes)
def test_sarif_of_anything_is_well_formed(result: Outcome) -> None:
    run = sarif_run(result)
    rules = run["tool"]["driver"]["rules"]
    assert len(run["results"]) == len(result.issues)
    for entry in run["results"]:
        assert rules[entry["ruleIndex"]]["id"] == entry["ruleId"]
        assert entry["level"] in ("error", "warning", "note")
        (location,) = entry["locations"]
        uri = location["physicalLocation"]["artifactLocation"]["uri"]
        assert re.fullmatch(r"(?:file:///)?[A-Za-z0-9_.~/%-]*", uri), uri
        assert unquote_to_bytes(uri) is not None
        assert all(type(n) is int and n >= 0 for n in location["physicalLocation"].get("region", {}).values())


# ---------------------------------------------------------------- documentation


def test_the_numbers_in_the_docs_are_those_of_the_code() -> None:
    text = FORMATS_MD.read_text("utf-8").replace("SARIF 2.1.0", "").replace("RFC 6901", "")
    numbers = {int(number) for number in re.findall(r"(?<![\w.\\])\d+(?!\w|\])", text)}
    limits = {sarif.MAX_RESULTS, sarif.SHOWN_RESULTS, sarif.MAX_GZIP_BYTES, github.MAX_ANNOTATIONS, junit.LISTED}
    assert numbers == {0, 1, visible.SHOWN_CHARS} | limits  # 0 and 1: where offsets and lines start to count


def test_the_docs_name_every_format_and_every_key() -> None:
    text = FORMATS_MD.read_text("utf-8")
    assert re.findall(r"^## (\w+)", text, re.MULTILINE) == list(FORMATS)
    report = json.loads(written(USUAL, "json"))
    keys = [*(key for key in report if key not in ("summary",)), *report["issues"][0]]
    keys += [f"summary.{key}" for key in report["summary"]]
    assert [key for key in keys if f"`{key}`" not in text] == []


def test_records_that_only_the_baseline_knows_of_are_not_called_valid() -> None:
    outcome = Outcome(("a.jsonl",), records=5, valid=3, invalid=2, errors=0, warnings=0, by_rule={})
    assert verdict(outcome) == "✓ nothing that is not known in 5 records (1 file)"
