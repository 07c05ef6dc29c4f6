"""Answers of a model to prompts: who asks need not know how they are written."""

from coordspec.generate.answer import Answer, CoordStat, Ended, Generator, Request
from coordspec.generate.decode import ModelGenerator

__all__ = ["Answer", "CoordStat", "Ended", "Generator", "ModelGenerator", "Request"]
