"""Answers of a model to prompts: who asks need not know how they are written."""

from coordspec.train.generation.answer import Answer, CoordStat, Ended, Generator, Request
from coordspec.train.generation.decode import ModelGenerator

__all__ = ["Answer", "CoordStat", "Ended", "Generator", "ModelGenerator", "Request"]
