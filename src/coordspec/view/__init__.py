"""What a target looks like: samples to look at, as text, as JSON and as one page of HTML."""

from coordspec.pages.thumbnail import Picture
from coordspec.view.page import mask_page
from coordspec.view.sample import EntryView, TargetSource, TargetView, make_sample
from coordspec.view.sources import Ask, Selection, read_sources
from coordspec.view.text import sample_lines
from coordspec.view.value import document

__all__ = [
    "Ask",
    "EntryView",
    "Picture",
    "Selection",
    "TargetSource",
    "TargetView",
    "document",
    "make_sample",
    "mask_page",
    "read_sources",
    "sample_lines",
]
