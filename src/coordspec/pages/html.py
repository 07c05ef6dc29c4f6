"""One self-contained page of HTML: style, script and data in one file that asks nobody for anything."""

from __future__ import annotations

import base64
import html
import json
from importlib.resources import files
from typing import Any, Final

from coordspec.hashes import text_sha256

PACKAGE: Final = "coordspec.pages"
STYLES: Final = ("base.css", "boxes.css")
"""What the styles of all pages start with: colours of light and dark, type, focus; how boxes look on images."""
SCRIPTS: Final = ("dom.js", "boxes.js")
"""What the scripts of all pages start with: the data, elements made without markup; boxes and polygons in bins."""


def html_page(title: str, *, style: str, script: str, data: Any) -> str:
    """A page that runs one script on one JSON value.

    The policy in its head lets the browser run and apply this script and this style alone, show images that are in the
    page, and load nothing. The script finds the value in the element ``data`` and makes the rest of the page.
    """
    policy = "; ".join(
        (
            "default-src 'none'",
            "img-src data:",
            f"style-src '{_digest(style)}'",
            f"script-src '{_digest(script)}'",
            "base-uri 'none'",
            "form-action 'none'",
        )
    )
    return f"""<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="{policy}">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="referrer" content="no-referrer">
<meta name="color-scheme" content="light dark">
<link rel="icon" href="data:,">
<title>{html.escape(title)}</title>
<style>{style}</style>
</head>
<body>
<noscript>This page is drawn by a script that is part of it. Allow scripts to look at it.</noscript>
<script type="application/json" id="data">{json_in_script(data)}</script>
<script>{script}</script>
</body>
</html>
"""


def json_in_script(value: Any) -> str:
    """JSON that nothing in it can lead out of a script element: ASCII, without ``<``, ``>`` and ``&``."""
    text = json.dumps(value, allow_nan=False, separators=(",", ":"))
    return text.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026")


def resource(package: str, *names: str) -> str:
    """Files of package data, joined: a style or a script of several parts."""
    return "\n".join(files(package).joinpath(name).read_text("utf-8") for name in names)


def _digest(text: str) -> str:
    """How a policy names a style or a script: the browser applies it only if its text has this hash."""
    return "sha256-" + base64.b64encode(bytes.fromhex(text_sha256(text))).decode("ascii")
