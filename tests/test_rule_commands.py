"""``coordspec rule`` and ``coordspec rules``."""

from __future__ import annotations

import json

import pytest

from coordspec.contracts import Rule, rule, rule_book
from coordspec.findings.explain import example_conditions, heading_anchor, markdown_text, with_placeholders
from coordspec_cli.main import run

RULES = list(rule_book().by_name.values())
CAT = '{"images": ["a.png"], "width": 640, "height": 480, "objects": [{"desc": "cat", "bbox_2d": [1, 2, %s, 4]}]}'


def test_rule_as_text(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["rule", "coord-range"]) == 0
    assert capsys.readouterr().out == (
        "GEO003 coord-range (error)\n"
        "\n"
        "‹value› is ‹side› the ‹bound› ‹limit›\n"
        "\n"
        "why   There is no token for it; a clamped coordinate would be a box that nobody drew.\n"
        "fix   write a ‹space› coordinate, from ‹minimum› to ‹maximum›\n"
        f"bad   {CAT % 1000}\n"
        f"good  {CAT % 999}\n"
        "from  data-contract, coordinates\n"
    )


def test_rule_as_markdown(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["rule", "coord-range", "--format", "markdown"]) == 0
    assert capsys.readouterr().out == (
        "# GEO003 coord-range\n"
        "\n"
        "Error · data-contract, coordinates\n"
        "\n"
        "> ‹value› is ‹side› the ‹bound› ‹limit›\n"
        "\n"
        "**Why:** There is no token for it; a clamped coordinate would be a box that nobody drew.\n"
        "\n"
        "**Fix:** write a ‹space› coordinate, from ‹minimum› to ‹maximum›\n"
        "\n"
        f"Bad:\n\n```json\n{CAT % 1000}\n```\n"
        "\n"
        f"Good:\n\n```json\n{CAT % 999}\n```\n"
    )


def test_rule_as_json(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["rule", "too-long", "--format", "json"]) == 0
    item = rule("too-long")
    assert json.loads(capsys.readouterr().out) == {
        "code": "JSN010",
        "name": "too-long",
        "severity": "error",
        "family": "JSN",
        "message": item.message,
        "fix": item.fix,
        "why": item.why,
        "spec": item.spec,
        "bad": item.bad,
        "bad_encoding": "utf-8",
        "good": item.good,
        "options": {"max_line_bytes": 80},
    }


@pytest.mark.parametrize("word", ["GEO003", "geo003", "coord-range", "Coord_Range"])
def test_a_rule_is_found_by_name_and_code(word: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["rule", word]) == 0
    assert capsys.readouterr().out.startswith("GEO003 coord-range")


@pytest.mark.parametrize("form", ["text", "markdown", "json"])
@pytest.mark.parametrize("item", RULES, ids=lambda item: item.name)
def test_every_rule_is_explained_whole(form: str, item: Rule, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["rule", item.name, "--format", form]) == 0
    out = capsys.readouterr().out
    assert item.name in out
    if form == "json":
        assert json.loads(out)["why"] == item.why
    else:
        prose = markdown_text if form == "markdown" else str
        said = (item.why, with_placeholders(item.message), with_placeholders(item.fix), item.spec)
        assert [text for text in said if prose(text) not in out] == []
        assert "\ufeff" not in out


@pytest.mark.parametrize(
    ("word", "message"),
    [
        ("cord-range", "no rule is called 'cord-range' (did you mean 'coord-range'?); `coordspec rules` lists all"),
        ("GEO0003", "no rule is called 'GEO0003' (did you mean 'GEO003'?); `coordspec rules` lists all"),
        ("zzzzzz", "no rule is called 'zzzzzz'; `coordspec rules` lists all"),
        ("geo", "GEO is a family of rules; `coordspec rules --family GEO` lists it"),
    ],
)
def test_an_unknown_rule_is_wrong_usage(word: str, message: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["rule", word]) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.splitlines()[-1] == f"Error: {message}"


@pytest.mark.parametrize(
    ("name", "conditions"),
    [
        ("coord-range", []),
        ("too-long", ["with --max-line-bytes 80"]),
        ("image-missing", ["with --check-images"]),
        ("invalid-utf8", ["saved as latin-1"]),
        ("suspect-xywh", ["in a file with 30 boxes like it, or more"]),
    ],
)
def test_conditions_of_an_example(name: str, conditions: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert example_conditions(rule(name)) == conditions
    assert run(["rule", name]) == 0
    assert [f"      ({text})" for text in conditions] == [
        line for line in capsys.readouterr().out.splitlines() if line.startswith("      (")
    ]


def test_rules_as_text(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["rules", "--family", "dup"]) == 0
    assert capsys.readouterr().out == (
        "DUP  Repetition\n  DUP001  duplicate-object  warning  the same object stands at objects[‹first›] already\n"
    )


def test_rules_lists_all_of_them(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["rules"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[:3] for line in lines if line.startswith("  ")] == [
        [item.code, item.name, item.severity.value] for item in RULES
    ]
    assert [line for line in lines if line and not line.startswith("  ")] == [
        f"{family}  {about}" for family, about in rule_book().families.items()
    ]


def test_rules_as_json(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["rules", "--format", "json"]) == 0
    listed = json.loads(capsys.readouterr().out)
    assert [entry["name"] for entry in listed] == [item.name for item in RULES]
    assert run(["rules", "--format", "json", "--family", "GEO"]) == 0
    assert json.loads(capsys.readouterr().out) == [entry for entry in listed if entry["family"] == "GEO"]


def test_an_unknown_family_is_wrong_usage(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["rules", "--family", "XYZ"]) == 2
    assert "'XYZ' is not one of" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("{value} is {type}", "‹value› is ‹type›"),
        ("not part of it{suggestion}", "not part of it ‹suggestion›"),
        ("{expected}{reason}", "‹expected› ‹reason›"),
        ("objects[{first}]", "objects[‹first›]"),
        ("nothing", "nothing"),
    ],
)
def test_placeholders(text: str, shown: str) -> None:
    assert with_placeholders(text) == shown


@pytest.mark.parametrize(
    ("text", "markdown"),
    [
        ("write <|coord_k|> & [x, y]", r"write &lt;\|coord_k\|&gt; &amp; \[x, y\]"),
        ("run `a <b> | c*` or *d*", r"run `a <b> | c*` or \*d\*"),
    ],
)
def test_markdown_text(text: str, markdown: str) -> None:
    assert markdown_text(text) == markdown


def test_heading_anchor() -> None:
    assert heading_anchor(rule("coord-range")) == "geo003-coord-range"
