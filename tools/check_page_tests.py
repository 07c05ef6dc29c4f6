"""Tests of pages wait for what they assert: an assertion that reads a page once is red on a slow machine.

python tools/check_page_tests.py [FILE ...]    Without files: all modules in tests/ that import playwright.

Exit status 1 if an assert reads a page, in itself or through a function of its module.
"""

from __future__ import annotations

import ast
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final

READS: Final = frozenset(
    ("all_inner_texts", "all_text_contents", "bounding_box", "evaluate", "evaluate_all", "get_attribute", "inner_html",
     "inner_text", "input_value", "is_checked", "is_disabled", "is_enabled", "is_hidden", "is_visible", "text_content")
)  # fmt: skip
"""Methods of Playwright that say how a page is at this moment; so does ``count()`` without words."""


def main(words: Sequence[str]) -> int:
    """Print every assert that reads a page; returns the exit status."""
    found = [line for path in map(Path, words or page_tests()) for line in faults(path.read_text("utf-8"), str(path))]
    print("\n".join(found) or "every assert about a page waits", file=sys.stderr if found else sys.stdout)
    return 1 if found else 0


def page_tests() -> list[str]:
    """The test modules that drive a browser."""
    return [str(path) for path in sorted(Path("tests").rglob("test_*.py")) if "playwright" in path.read_text("utf-8")]


def faults(source: str, path: str) -> Iterator[str]:
    """One line for each assert that reads a page once."""
    tree = ast.parse(source, path)
    readers = {
        node.name: name
        for node in tree.body
        if isinstance(node, ast.FunctionDef) and not node.name.startswith("test_") and (name := read_in(node, {}))
    }
    for node in ast.walk(tree):
        if isinstance(node, ast.Assert) and (name := read_in(node, readers)):
            what = "write expect(locator).to_… of Playwright, or eventually(lambda: …, value) of tests/browser.py"
            yield f"{path}:{node.lineno}: an assert reads the page once ({name}); {what}"


def read_in(node: ast.AST, readers: dict[str, str]) -> str | None:
    """The first read of a page in a piece of code: a method of Playwright, or a function that uses one."""
    for call in ast.walk(node):
        if not isinstance(call, ast.Call):
            continue
        if isinstance(call.func, ast.Attribute):
            bare_count = call.func.attr == "count" and not call.args
            if call.func.attr in READS or bare_count:
                return f".{call.func.attr}()"
        elif isinstance(call.func, ast.Name) and call.func.id in readers:
            return f"{call.func.id}() with {readers[call.func.id]}"
    return None


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
