"""coordspec: contracts, checks and training for models that write boxes."""

from __future__ import annotations

from importlib.metadata import version

__version__ = version("coordspec")
