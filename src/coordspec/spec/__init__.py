"""OpenSpec scenarios as tests: the parser, bindings, the pytest plugin, coverage, lint. Needs no pytest to import."""

from coordspec.spec.binding import harness, scenario

__all__ = ["harness", "scenario"]
