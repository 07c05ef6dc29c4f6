"""The parser of specs, the digest of scenarios and the blocks in them."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from coordspec.errors import InputError
from coordspec.spec.cases import CasesError, read_cases
from coordspec.spec.document import Scenario, SpecDocument, parse_spec, read_spec, spec_files
from coordspec.spec.markdown import FencedBlock, LineKind, openspec_live, plain_lines, scenario_digest, take_apart

HEAD = "## Requirements\n### Requirement: R\nIt SHALL.\n"


def parsed(body: str) -> SpecDocument:
    return parse_spec(HEAD + body, "p", "c")


def scenarios(body: str) -> list[Scenario]:
    return [scenario for requirement in parsed(body).requirements for scenario in requirement.scenarios]


# ---------------------------------------------------------------- headings


def test_requirements_and_scenarios_with_their_lines() -> None:
    text = (
        "# T\n\n## Purpose\nx\n\n## Requirements\n\n### Requirement: A ##\nIt SHALL\nhold.\n\n#### Scenario: One\n- a\n"
    )
    text += "\n##### Detail\n- b\n\n#### Scenario: Two #\n### Requirement: B\n"
    document = parse_spec(text, "p", "c")
    a, b = document.requirements
    assert (a.title, a.line, a.text, a.section) == ("A", 8, "It SHALL\nhold.", "Requirements")
    assert [(s.title, s.line, s.body) for s in a.scenarios] == [
        ("One", 12, "- a\n\n##### Detail\n- b\n"),
        ("Two", 18, ""),
    ]
    assert (b.title, b.line, b.text, b.scenarios) == ("B", 19, "", ())
    assert document.faults == ()


@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
@pytest.mark.parametrize("start", ["", "\ufeff"])
def test_line_ends_and_byte_order_marks(end: str, start: str) -> None:
    body = "#### Scenario: One\n- **WHEN** a\n\n```\nx\n```\n"
    assert parse_spec(start + (HEAD + body).replace("\n", end), "p", "c") == parsed(body)


def test_labels_are_read_in_any_case() -> None:
    (scenario,) = scenarios("#### scenario:One\n")
    assert (scenario.title, scenario.labelled) == ("One", True)
    (scenario,) = scenarios("#### One\n")
    assert (scenario.title, scenario.labelled) == ("One", False)


def test_lines_end_where_files_say_so() -> None:
    assert [s.title for s in scenarios("#### Scenario: a\u2028b\x0bc\n")] == ["a\u2028b\x0bc"]


@pytest.mark.parametrize(
    ("text", "rules"),
    [
        ("####Scenario: a\n", ["heading-space"]),
        ("###scenario : a\n", ["heading-space"]),
        ("####Notes: a\n", []),
        ("```\n####Scenario: a\n```\n", []),
        ("<table>\n<tr><td>1</td></tr>\n</table>\n#### Scenario: a\n", ["heading-unclear"]),
        ("<table>\n<tr><td>1</td></tr>\n</table>\n\n#### Scenario: a\n", []),
        ("| a |\n|---|\n| 1 |\n#### Scenario: a\n", []),
        ("```yaml coordspec\nx: 1\n#### Scenario: a\n```\n", ["swallowed-heading"]),
        ("```yaml coordspec\nx: |\n  #### Scenario: a\n```\n", []),
        ("```yaml\n#### Scenario: a\n```yaml\n```\n", ["swallowed-heading"]),
        ("~~~~\n### Requirement: a\n~~~~~json\n~~~~\n", ["swallowed-heading"]),
        ("~~~~\n### Requirement: a\n~~~ json\n~~~\n~~~~\n", []),
        ("```md\n### Requirement: a\n#### Scenario: b\n```\n", []),
        ("```md\n### Requirement: a\n    ```\n```\n", []),
        ("- a\n  ```\n  #### Scenario: a\n  ```json\n  ```\n", []),
        ("###Requirement: a\n", ["heading-unclear"]),
        (" #### Scenario: a\n", ["heading-unclear"]),
        ("    #### Scenario: a\n", []),
        ("- a\n\n  #### Scenario: a\n", ["heading-unclear"]),
        ("####\u00a0Scenario: a\n", ["heading-unclear"]),
        ("##### Scenario: a\n", ["heading-level"]),
        ("### Scenario: a\n", ["heading-level"]),
        ("## Requirement: a\n", ["heading-level"]),
        ("<!-- #### Scenario: a -->\n", []),
        ("<!--\n#### Scenario: a\n-->\n", ["live-comment"]),
        ("<!-- a\n", ["unclosed-fence"]),
        ("`<!--` is no comment\n", []),
        ("text <!-- a\n#### Scenario: b\n-->\n", []),  # a heading ends the paragraph, so it is no comment
        ("text <!-- a\n  b --> `<!-- c`\n#### Scenario: d\n", []),
        ("- a\nlazy\n  ```\nb\n#### Scenario: c\n", ["unclosed-fence", "heading-unclear"]),
        ("```\n#### Scenario: a\n```\n", []),
        ("``` x`y\n#### Scenario: a\n", ["heading-unclear"]),
        ("````\n```\n#### Scenario: a\n````\n", []),
        ("```\n~~~\n```\n", []),
        ("```\n``` x\n```\n", []),
        ("```\n", ["unclosed-fence"]),
        ("- a\n  ```\n  b\n#### Scenario: c\n", ["unclosed-fence", "heading-unclear"]),
        ("- a\n  ```\n  b\n  ```\n#### Scenario: c\n", []),
        ("    ```\n#### Scenario: c\n", ["heading-unclear"]),
    ],
)
def test_faults(text: str, rules: list[str]) -> None:
    assert [fault.rule for fault in parsed(text).faults] == rules


def test_openspec_closes_a_fence_at_any_indentation() -> None:
    lines = ["```", "    ```", "#### Scenario: a", "```"]
    assert list(openspec_live(lines)) == [False, False, True, False]
    assert [line.kind for line in take_apart(lines).lines] == [
        LineKind.FENCE,
        LineKind.CODE,
        LineKind.CODE,
        LineKind.FENCE,
    ]


def test_what_was_swallowed_is_said_once() -> None:
    text = "```yaml coordspec\nharness: h\n\n#### Scenario: a\n- b\n\n#### Scenario: c\n```json\n{}\n```\n"
    (fault,) = parsed(text).faults
    assert (fault.line, dict(fault.values)) == (7, {"heading": "#### Scenario: a", "opening": "```", "opened": 4})


def test_the_text_of_a_requirement_goes_down_to_its_first_scenario() -> None:
    (requirement,) = parse_spec(HEAD + "\n| a |\n\n##### Note\nx\n\n#### Scenario: One\n- a\n", "p", "c").requirements
    assert requirement.body == "It SHALL.\n\n| a |\n\n##### Note\nx\n"
    assert requirement.digest == scenario_digest(requirement.body)
    (alone,) = parse_spec(HEAD, "p", "c").requirements
    assert alone.body == "It SHALL.\n"


# ---------------------------------------------------------------- blocks


def test_blocks_of_a_scenario() -> None:
    body = (
        "#### Scenario: One\n- a\n\n  ~~~yaml   coordspec\n  x:\n    - 1\n\n  ~~~\n```\n\ty\n```\n#### Scenario: Two\n"
    )
    one, two = scenarios(body)
    assert one.blocks == (FencedBlock("yaml coordspec", "x:\n  - 1\n\n", 7), FencedBlock("", "\ty\n", 12))
    assert two.blocks == ()
    assert one.prose == "- a"


@pytest.mark.parametrize(
    ("text", "line", "reason"),
    [
        ("a: 1", 7, "the block names no harness; begin it with `harness: NAME`"),
        ("harness: h\ncases: []", 7, "`cases` is no list with a case in it; write `- {name: value, …}` below it"),
        ("harness: h\ncases: [1]", 7, "case 1 is no mapping of names to values; write `- {name: value, …}`"),
        ("harness: h\nx: 1\ncases: [{x: 1}]", 7, "case 1 and the block around it both set 'x'; keep one of them"),
        ("harness: h\nx: 1\nx: 2", 10, "the block is no YAML: the key 'x' stands twice"),
        ("harness: h\n1: 2", 7, "the key 1 is no string; put it in quotes"),
        ("harness: h\nx: !!python/name:os.system x", 9, None),
        ("harness: h\nx: [", None, None),
    ],
)
def test_broken_blocks(text: str, line: int | None, reason: str | None) -> None:
    with pytest.raises(CasesError) as caught:
        read_cases(FencedBlock("yaml coordspec", text, 7))
    assert line is None or caught.value.line == line
    assert reason is None or str(caught.value) == reason


def test_cases_take_what_the_block_says() -> None:
    found = read_cases(FencedBlock("yaml coordspec", "harness: h\nw: 1\ncases:\n  - {x: 2}\n  - {case: b, x: on}", 1))
    assert found.harness == "h"
    assert [(case.label, case.values) for case in found.cases] == [
        ("case 1", {"w": 1, "x": 2}),
        ("case 2 (b)", {"w": 1, "x": "on"}),
    ]


def test_a_block_without_cases_is_one_case() -> None:
    (case,) = read_cases(FencedBlock("yaml coordspec", "harness: h\nrows: [[1, 2]]", 1)).cases
    assert case.values == {"rows": [[1, 2]]}


def test_scalars_are_those_of_yaml_1_2() -> None:
    text = "harness: h\nv: [1e-6, 1., .5, -3, 0x1f, 012, 1:30, yes, true, null, ~, 2024-01-01, .inf, 1_000]"
    (case,) = read_cases(FencedBlock("yaml coordspec", text, 1)).cases
    inf = float("inf")
    words = ["012", "1:30", "yes"], ["2024-01-01"], ["1_000"]
    assert case.values["v"] == [1e-6, 1.0, 0.5, -3, 31, *words[0], True, None, None, *words[1], inf, *words[2]]


# ---------------------------------------------------------------- digest

BODY = """\
- **WHEN** it is asked
  for a sum
- **THEN** it says 42

| a | b |
|---|:-:|
| 1 | |

```json
{
  "x": 1
}
```
"""


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("\n", "\r\n"),
        ("- **", "* **"),
        ("- **", "-   **"),
        ("it is asked\n  for", "it   is asked for"),
        ("it is asked\n  for", "it is asked\nfor"),
        ("\n- **THEN", "  \n\n\n- **THEN"),
        ("| a | b |", "|a|b|"),
        ("|---|:-:|", "| ----- | :---: |"),
        ("```", "~~~~"),
        ("{\n", "{  \n"),
    ],
)
def test_the_digest_ignores_the_form(old: str, new: str) -> None:
    assert old in BODY
    assert scenario_digest(BODY.replace(old, new)) == scenario_digest(BODY)


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("42", "43"),
        ("sum", "Sum"),
        ("THEN", "AND"),
        ("| 1 |", "| 2 |"),
        ("| 1 | |", "| | 1 |"),
        ("|:-:|", "|---|"),
        ("json", "yaml"),
        ('  "x"', '"x"'),
        ("```json", "x\n```json"),
        ("- **THEN**", "**THEN**"),
        ("\n| 1 | |", ""),
        ("**WHEN** it", "**WHEN** i t"),
        ("- **WHEN**", "1. **WHEN**"),
    ],
)
def test_the_digest_sees_the_content(old: str, new: str) -> None:
    assert old in BODY
    assert scenario_digest(BODY.replace(old, new)) != scenario_digest(BODY)


def test_the_digest_is_never_changed() -> None:
    """Bindings in the repositories of others hold it."""
    assert scenario_digest(BODY) == "b0ea1da3f96d"
    assert scenario_digest("") == "e3b0c44298fc"


@given(st.text(alphabet="ab -*+|`~#<>!1.\n\t\r", max_size=60))
def test_any_text_is_read(text: str) -> None:
    document = parsed("#### Scenario: s\n" + text)
    assert len(document.scan.lines) == len(plain_lines(HEAD + "#### Scenario: s\n" + text))
    assert len(scenario_digest(text)) == 12


@given(st.text(alphabet="ab -*|`~\n", max_size=60))
def test_trailing_space_and_line_ends_never_matter(text: str) -> None:
    assert scenario_digest(text.replace("\n", " \r\n")) == scenario_digest(text)


# ---------------------------------------------------------------- files


def test_files_by_capability(tmp_path: Path) -> None:
    for name in ("b", "a/z", "a-b", ".hidden/x", "a"):
        folder = tmp_path / "openspec/specs" / name
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "spec.md").write_text(HEAD)
    (tmp_path / "openspec/specs/spec.md").write_text(HEAD)
    found = [read_spec(path, tmp_path) for path in spec_files(tmp_path)]
    assert [document.capability for document in found] == ["a", "a-b", "a/z", "b"]
    assert found[2].path == "openspec/specs/a/z/spec.md"


def test_no_folder_gives_no_files(tmp_path: Path) -> None:
    assert spec_files(tmp_path) == []


def test_a_delta_has_the_capability_of_its_folder(tmp_path: Path) -> None:
    folder = tmp_path / "openspec/changes/x/specs/a/b"
    folder.mkdir(parents=True)
    (folder / "spec.md").write_text("## ADDED Requirements\n### Requirement: R\nIt SHALL.\n")
    document = read_spec(folder / "spec.md", tmp_path)
    assert document.capability == "a/b"
    assert document.requirements[0].section == "ADDED Requirements"


def test_a_file_that_cannot_be_read(tmp_path: Path) -> None:
    (tmp_path / "spec.md").write_bytes(b"a\xffb")
    with pytest.raises(InputError, match=r"spec\.md: is not UTF-8: byte 0xff at 1"):
        read_spec(tmp_path / "spec.md", tmp_path)
    with pytest.raises(InputError, match=r"gone\.md: cannot be read: No such file"):
        read_spec(tmp_path / "gone.md", tmp_path)
