"""One self-contained page of HTML: style, script and data in one file that asks nobody for anything."""

from __future__ import annotations

import base64
import hashlib
import html
import json
from collections.abc import Sequence
from importlib.resources import files
from typing import TYPE_CHECKING, Any, Final

from coordspec.rollout import DropReason
from coordspec.view.thumbnail import thumbnail
from coordspec.view.value import document

if TYPE_CHECKING:
    from coordspec.view.sample import Sample

_TITLE: Final = "What the target teaches"


def mask_page(samples: Sequence[Sample]) -> str:
    """The page of ``coordspec mask``: the samples of ``document``, their images, and the meaning of drop reasons.

    Text from the data stands in the page as JSON alone, and reaches the document as text nodes.
    """
    value = document(samples)
    thumbnails = [None if sample.picture is None else thumbnail(sample.picture) for sample in samples]
    value["thumbnails"] = [None if found is None else found._asdict() for found in thumbnails]
    value["reasons"] = {reason.value: reason.meaning.replace("`", "") for reason in DropReason}
    return html_page(_TITLE, style=_resource("mask.css"), script=_resource("mask.js"), data=value)


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


def _resource(name: str) -> str:
    return files("coordspec.view").joinpath(name).read_text("utf-8")


def _digest(text: str) -> str:
    """How a policy names a style or a script: the browser applies it only if its text has this hash."""
    return "sha256-" + base64.b64encode(hashlib.sha256(text.encode()).digest()).decode("ascii")
