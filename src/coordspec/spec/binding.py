"""What test code says about scenarios.

``@scenario`` binds a function to one, ``@harness`` names a function that runs the tables of many. Both leave the
function as it is, and need no pytest.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final, NamedTuple, TypeVar

F = TypeVar("F", bound=Callable[..., Any])

SCENARIOS_ATTRIBUTE: Final = "__coordspec_scenarios__"
HARNESS_ATTRIBUTE: Final = "__coordspec_harness__"


class Bound(NamedTuple):
    """The scenario that a function is bound to, and the digest of the text that its author has read."""

    capability: str
    requirement: str
    scenario: str
    digest: str


def scenario(capability: str, requirement: str, title: str, /, *, digest: str) -> Callable[[F], F]:
    """Bind a test function to a scenario of ``openspec/specs/<capability>/spec.md``.

    The four arguments are string literals, since coverage and ``--update-digests`` read them from the source. A
    function that shows several scenarios carries the decorator several times.
    """
    bound = Bound(capability, requirement, title, digest)

    def bind(function: F) -> F:
        setattr(function, SCENARIOS_ATTRIBUTE, (bound, *bound_scenarios(function)))
        return function

    return bind


def bound_scenarios(function: object) -> tuple[Bound, ...]:
    """The scenarios that a function is bound to, in the order of its decorators."""
    found: tuple[Bound, ...] = getattr(function, SCENARIOS_ATTRIBUTE, ())
    return found


def harness(name: str, /) -> Callable[[F], F]:
    """Name a function that runs the cases of ``yaml coordspec`` blocks.

    It is called once for each case with the keys of the case as keyword arguments, and raises (an assertion, say) where
    a case does not hold.
    """

    def register(function: F) -> F:
        setattr(function, HARNESS_ATTRIBUTE, name)
        return function

    return register
