"""The generated pages are those that contracts/ gives, and their links lead somewhere."""

from __future__ import annotations

import importlib.util
import json
import re
from pathlib import Path
from types import ModuleType

import pytest

from coordspec.contracts import record_contract, rule, rule_book, schema
from coordspec.record import Record

ROOT = Path(__file__).parent.parent
CONTRACT = Path("docs/data/JSONL_CONTRACT.md")


def load_generator() -> ModuleType:
    spec = importlib.util.spec_from_file_location("generate_docs", ROOT / "tools/generate_docs.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


GENERATOR = load_generator()
PAGES: dict[Path, str] = GENERATOR.pages()


def test_the_pages_are_up_to_date() -> None:
    assert GENERATOR.stale() == [], "run: python tools/generate_docs.py"


def test_nothing_else_lies_in_the_folder_of_the_rules() -> None:
    assert {path.relative_to(ROOT) for path in (ROOT / "docs/rules").iterdir()} == {
        path for path in PAGES if path.parent == Path("docs/rules")
    }


def test_check_names_the_pages_that_differ(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(GENERATOR, "ROOT", tmp_path)
    assert GENERATOR.main([]) == 0
    assert GENERATOR.main(["--check"]) == 0
    (tmp_path / "docs/rules/geo.md").write_text("old")
    (tmp_path / CONTRACT).unlink()
    assert GENERATOR.main(["--check"]) == 1
    assert capsys.readouterr().err == (
        "docs/rules/geo.md is out of date; run python tools/generate_docs.py\n"
        "docs/data/JSONL_CONTRACT.md is out of date; run python tools/generate_docs.py\n"
    )


def test_writing_makes_the_check_pass(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(GENERATOR, "ROOT", tmp_path)
    assert len(GENERATOR.stale()) == len(GENERATOR.generated())
    assert GENERATOR.main([]) == 0
    assert GENERATOR.stale() == []


def test_wrong_usage(capsys: pytest.CaptureFixture[str]) -> None:
    assert GENERATOR.main(["--chekc"]) == 2
    assert "--check" in capsys.readouterr().err


def anchors(text: str) -> set[str]:
    """Fragments of the headings, as GitHub makes them: lower case, punctuation dropped, spaces as dashes."""
    headings = re.findall(r"^#+ (.+)$", text, re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("page", PAGES, ids=str)
def test_links_lead_to_files_and_headings(page: Path) -> None:
    links = re.findall(r"(?<!\\)\]\(([^)#]*)(?:#([^)]*))?\)", PAGES[page])
    assert links or page.name == "STATS.md"
    for target, fragment in links:
        file = (ROOT / page.parent / target).resolve() if target else ROOT / page
        assert file.is_file(), target
        if fragment:
            assert fragment in anchors(file.read_text("utf-8")), (target, fragment)


@pytest.mark.parametrize("page", PAGES, ids=str)
def test_tables_have_as_many_cells_in_every_row_as_in_the_header(page: Path) -> None:
    width = 0
    for line in PAGES[page].splitlines():
        cells = len(re.findall(r"(?<!\\)\|", line)) if line.startswith("|") else 0
        assert width in (0, cells) or cells == 0, line
        width = cells


@pytest.mark.parametrize("page", PAGES, ids=str)
def test_no_page_holds_a_raw_placeholder_or_a_stray_tag(page: Path) -> None:
    prose = re.sub(r"```.*?```|`[^`\n]*`|<!--.*?-->", "", PAGES[page], flags=re.DOTALL)
    assert re.findall(r"\{\w+\}|<[^>\n]*>", prose) == []


def test_every_rule_is_in_the_table_and_has_a_section() -> None:
    table = PAGES[Path("docs/rules/README.md")]
    for item in rule_book().by_name.values():
        assert f"| {item.name} | {item.severity} |" in table
        assert f"\n## {item.code} {item.name}\n" in PAGES[Path(f"docs/rules/{item.family.lower()}.md")]
        of_data = item.name in rule_book().about("data").by_name
        assert (f"| {item.name} | {item.severity} |" in PAGES[CONTRACT]) is of_data


def test_every_field_is_in_the_contract_page() -> None:
    contract = record_contract()
    fields = contract.fields | contract.object_fields | contract.legacy
    assert [field for field in sorted(fields) if f"| `{field}` |" not in PAGES[CONTRACT]] == []


def test_descriptions_of_the_schema_are_in_the_contract_page() -> None:
    record = schema("record")
    nodes = (*record["properties"].values(), *record["$defs"]["object"]["properties"].values())
    assert [node["description"] for node in nodes if f"| {node['description']} |" not in PAGES[CONTRACT]] == []


def test_the_examples_of_the_contract_page_are_records_and_their_payload() -> None:
    lines, payload = re.findall(r"```json\n(.*?)\n```", PAGES[CONTRACT], re.DOTALL)
    integers, tokens = (Record.from_value(json.loads(line)) for line in lines.splitlines())
    assert integers == tokens
    assert integers.payload() == payload


def test_the_formula_of_the_contract_page() -> None:
    text = PAGES[CONTRACT]
    limits = record_contract()
    assert f"`bin = round({limits.max_bin} * pixel / max(1, side - 1))`" in text
    assert f"clamped to {limits.min_bin}..{limits.max_bin}" in text
    assert "| 0 | 0 |\n| 1 | 2 |\n| 319.5 | 500 |\n| 639 | 999 |\n| 640 | 999 |" in text


@pytest.mark.parametrize(
    ("name", "parameter"), [("too-deep", "max_depth"), ("too-long", "max_line_bytes"), ("huge-number", "max_digits")]
)
def test_the_limits_of_a_line_are_in_the_contract_page(name: str, parameter: str) -> None:
    assert f" {rule(name).params[parameter]} " in PAGES[CONTRACT]
