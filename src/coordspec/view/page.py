"""The page of ``coordspec mask``."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Final

from coordspec.pages import html
from coordspec.pages.html import html_page, resource
from coordspec.pages.marks import page_data
from coordspec.pages.thumbnail import thumbnail
from coordspec.rollout.reasons import DropReason
from coordspec.view.value import document

if TYPE_CHECKING:
    from coordspec.view.sample import TargetView

_TITLE: Final = "What the target teaches"
SCRIPTS: Final = ("mask.js", "drawing.js", "looking.js")
"""The parts of the script, joined in this order: the last one starts the page."""


def mask_page(samples: Sequence[TargetView]) -> str:
    """The page of ``coordspec mask``: the samples of ``document``, their images, and the meaning of drop reasons.

    Text from the data stands in the page as JSON alone, and reaches the document as text nodes.
    """
    value = document(samples)
    thumbnails = [None if sample.picture is None else thumbnail(sample.picture) for sample in samples]
    value["thumbnails"] = [None if found is None else found._asdict() for found in thumbnails]
    value["reasons"] = {reason.value: reason.meaning.replace("`", "") for reason in DropReason}
    style = resource(html.PACKAGE, *html.STYLES) + resource("coordspec.view", "mask.css")
    script = resource(html.PACKAGE, *html.SCRIPTS) + resource("coordspec.view", *SCRIPTS)
    return html_page(_TITLE, style=style, script=script, data={**value, **page_data()})
