"""The shape of the text that a model is taught to write, as expressions over bytes.

Every repetition is possessive, so none of them backtracks: reading is linear in the text.
"""

from __future__ import annotations

import re
from typing import Final

from coordspec.contracts import payload_contract, record_contract
from coordspec.jsonl.parse import WHITE_SPACE

_PREFIX: Final = payload_contract().prefix
_S = rb"[" + re.escape(WHITE_SPACE) + rb"]*+"
_STRING = rb'[^"\\\x00-\x1f]*+(?:\\(?:["\\/bfnrt]|u[0-9a-fA-F]{4})[^"\\\x00-\x1f]*+)*+'
_SPECIAL = rb'<\|[^"|\\]*+\|>'
_ITEM = rb'"' + _SPECIAL + rb'"'
MAX_KEY_DIGITS: Final = 9
"""Digits of the number of a key. A model that repeats a digit without end names no object by it, and every injected
key would be as long."""

KEY: Final = re.compile(f"{_PREFIX}([1-9][0-9]*+)")
"""``object_N``, of a key that was read: N from 1, ASCII digits without a leading zero."""

SPECIAL: Final = re.compile(_SPECIAL)
"""Text in the shape of a special token."""

OPEN: Final = re.compile(_S + rb"\{")
CLOSE: Final = re.compile(_S + rb"\}")
COMMA: Final = re.compile(_S + rb",")

ENTRY: Final = re.compile(
    rb"(?P<comma>%(s)s,)?+%(s)s"
    rb'"%(prefix)s(?P<number>[1-9][0-9]*+)"%(s)s:%(s)s\{'
    rb'%(s)s"desc"%(s)s:%(s)s"(?P<desc>%(string)s)"%(s)s,'
    rb'%(s)s"(?P<geometry>%(geometries)s)"%(s)s:%(s)s'
    rb"\[%(s)s(?P<coords>%(item)s(?:%(s)s,%(s)s%(item)s)*+)%(s)s\]%(s)s\}"
    % {
        b"s": _S,
        b"prefix": _PREFIX.encode(),
        b"string": _STRING,
        b"geometries": "|".join(record_contract().geometries).encode(),
        b"item": _ITEM,
    }
)
"""An entry as the payload has it, in any white space, and the comma before it: key, desc, one geometry whose items look
like special tokens. It says nothing about which ids spell the text, how many coordinates there are, or what is in desc.
"""

LEXEME: Final = re.compile(
    _S + rb'(?:(?P<string>"[^"\\]*+(?:\\.[^"\\]*+)*+")|(?P<mark>[{}\[\]:,])'
    rb"|(?P<literal>(?:-?(?:0|[1-9][0-9]*+)(?:\.[0-9]++)?+(?:[eE][+-]?[0-9]++)?+|true|false|null)(?![0-9A-Za-z_.+-])))",
    re.DOTALL,
)
"""The next lexeme of JSON. A string ends at its quote, whatever is in it: what is wrong inside of it is said later."""
