"""What the evaluation checklist allows."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Limits:
    """What is allowed; shares from 0 to 1.

    parse_rate      least share of outputs that are strict JSON in the form of the payload
    ended           least share of outputs that the model ended itself
    unimodal        least share of coordinate slots with a unimodal distribution
    undercoverage   how far the share of slots within a central interval may stay below the interval's mass
    coord_mass      least mean mass on coord tokens at coordinate slots
    """

    parse_rate: float = 0.99
    ended: float = 0.99
    unimodal: float = 0.95
    undercoverage: float = 0.1
    coord_mass: float = 0.95
