"""From the words of a source to a desc."""

from __future__ import annotations

from itertools import chain

from coordspec.checks.text import check_desc, special_token_desc
from coordspec.convert.pixels import refuse


def category_desc(name: str, where: str) -> str:
    """The desc of a category's name: underscores and white space become single spaces.

    Raises:
        SourceError: the name breaks a rule on descs; ``where`` is its place in the source.
    """
    return _checked(" ".join(name.replace("_", " ").split()), name, where)


def phrase_desc(text: str, where: str) -> str:
    """The desc of words that somebody wrote for one object: white space becomes single spaces.

    Raises:
        SourceError: the text breaks a rule on descs; ``where`` is its place in the source.
    """
    return _checked(" ".join(text.split()), text, where)


def _checked(desc: str, text: str, where: str) -> str:
    # As it stands, too: a special token must not slip through because an underscore of it became a space.
    refuse(chain(special_token_desc(text, ()), check_desc(desc, ())), where)
    return desc
