"""The table of marks: one for every outcome, and written down nowhere but there."""

from __future__ import annotations

import re
from importlib.resources import files
from typing import Any

from coordspec.contracts import Owner, record_contract
from coordspec.pages.marks import MARKS, page_data


def test_every_owner_has_a_mark_of_its_own() -> None:
    assert set(MARKS) == {*(owner.value for owner in Owner), "gt", "dropped"}
    assert len({mark.glyph for mark in MARKS.values()}) == len(MARKS)


def test_a_page_gets_the_table_and_may_call_an_outcome_otherwise() -> None:
    data: dict[str, Any] = page_data(matched="right")
    assert data["max_bin"] == record_contract().max_bin
    assert (data["marks"]["matched"]["glyph"], data["marks"]["matched"]["name"]) == (MARKS["matched"].glyph, "right")
    assert data["marks"]["fp"] == MARKS["fp"]._asdict()


def test_no_script_writes_a_glyph_or_the_last_bin_itself() -> None:
    """``✕`` is the sign of a button that closes, too."""
    glyphs = {mark.glyph for mark in MARKS.values()} - {MARKS["dropped"].glyph}
    written = re.compile(rf"[{''.join(glyphs)}]|(?<![.\d]){record_contract().max_bin}\b")
    scripts = [
        path
        for package in ("coordspec.pages", "coordspec.report", "coordspec.view")
        for path in files(package).iterdir()
        if path.name.endswith(".js")
    ]
    assert len(scripts) >= 8
    assert {path.name: found for path in scripts if (found := written.findall(path.read_text("utf-8")))} == {}
