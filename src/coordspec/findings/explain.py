"""What a rule says about itself, as text, Markdown and JSON. The commands, the docs and SARIF show the same words."""

from __future__ import annotations

import re
from collections.abc import Iterator
from string import Formatter
from typing import Any

from coordspec.contracts import Rule, rule_book
from coordspec.findings.visible import visible


def with_placeholders(text: str) -> str:
    """The text of a message or fix before it is filled: ``{value}`` as ``‹value›``.

    A placeholder right behind a word stands for more words, or none; it gets a space of its own.
    """
    said = ""
    for literal, name, _, _ in Formatter().parse(text):
        said += literal
        if name is not None:
            said += f" ‹{name}›" if said[-1:].isalnum() or said.endswith("›") else f"‹{name}›"
    return said


def example_conditions(rule: Rule) -> list[str]:
    """What must hold for the bad example to break the rule, beyond the line itself; often nothing."""
    flags = (
        f"--{name.replace('_', '-')}" + ("" if value is True else f" {value}") for name, value in rule.options.items()
    )
    conditions = [f"with {flag}" for flag in flags]
    if rule.bad_encoding != "utf-8":
        conditions.append(f"saved as {rule.bad_encoding}")
    if "min_boxes" in rule.params:
        conditions.append(f"in a file with {rule.params['min_boxes']} boxes like it, or more")
    return conditions


def rule_value(rule: Rule) -> dict[str, Any]:
    """The rule as a JSON value; message and fix with their ``{placeholders}``."""
    names = ("code", "name", "severity", "family", "message", "fix", "why", "spec", "bad", "bad_encoding", "good")
    value: dict[str, Any] = {name: getattr(rule, name) for name in names}
    return {**value, "options": dict(rule.options)}


def rule_text(rule: Rule) -> str:
    """The rule as lines of plain text, with a line feed at the end."""
    rows = [("why", rule.why), ("fix", with_placeholders(rule.fix)), *_example_rows(rule), ("from", rule.spec)]
    body = "".join(f"{label:<6}{text}\n" for label, text in rows)
    return f"{rule.code} {rule.name} ({rule.severity})\n\n{with_placeholders(rule.message)}\n\n{body}"


def _example_rows(rule: Rule) -> Iterator[tuple[str, str]]:
    if rule.bad is not None:
        yield "bad", visible(rule.bad)
        for condition in example_conditions(rule):
            yield "", f"({condition})"
    yield "good", visible(rule.good)


def rule_markdown(rule: Rule, level: int = 1) -> str:
    """The rule as Markdown under a heading of that level, with a line feed at the end."""
    blocks = [
        f"{'#' * level} {rule.code} {rule.name}",
        f"{rule.severity.capitalize()} · {markdown_text(rule.spec)}",
        f"> {markdown_text(with_placeholders(rule.message))}",
        f"**Why:** {markdown_text(rule.why)}",
        f"**Fix:** {markdown_text(with_placeholders(rule.fix))}",
    ]
    if rule.bad is not None:
        conditions = "".join(f", {condition}" for condition in example_conditions(rule))
        blocks.append(f"Bad{conditions}:\n\n{_fenced(rule, rule.bad)}")
    blocks.append(f"Good:\n\n{_fenced(rule, rule.good)}")
    return "\n\n".join(blocks) + "\n"


def _fenced(rule: Rule, example: str) -> str:
    """The example in a fence: a JSON line for rules on data, lines of a file for the others."""
    subjects = rule_book().subjects
    if rule.family in subjects["data"]:
        return f"```json\n{visible(example)}\n```"
    form = "yaml" if rule.family in subjects["config"] else "text"
    lines = "\n".join(map(visible, example.rstrip("\n").split("\n")))
    return f"````{form}\n{lines}\n````"


def markdown_text(text: str) -> str:
    """Prose as Markdown: what stands in backticks is code as it is, the rest shows the characters it holds."""
    parts = text.split("`")
    prose = [_escape(part) if index % 2 == 0 else part for index, part in enumerate(parts)]
    return "`".join(prose)


def _escape(text: str) -> str:
    return re.sub(r"([\\*\[\]|])", r"\\\1", text).replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


def heading_anchor(rule: Rule) -> str:
    """The fragment that GitHub gives to the rule's heading."""
    return f"{rule.code} {rule.name}".lower().replace(" ", "-")
