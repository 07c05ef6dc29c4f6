"""Check a target right before it is trained on."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from coordspec.checks.finding import Finding
from coordspec.contracts import did_you_mean, mask_policies, rule
from coordspec.errors import ContractError, Issue, Place
from coordspec.guard.case import make_case, policy_named
from coordspec.guard.reading import Unreadable
from coordspec.guard.rules import RULES
from coordspec.record import NOWHERE, DetObject
from coordspec.rollout.tokens import TokenTable, token_table
from coordspec.target.objects import GroundTruth, ground_truth_objects

if TYPE_CHECKING:
    from coordspec.target.types import Target
    from coordspec.tokenizer import AnyTokenizer


def check_target(
    target: Target,
    gt: GroundTruth,
    tokenizer: AnyTokenizer | TokenTable,
    rollout_ids: Sequence[int] | None = None,
    *,
    place: Place = NOWHERE,
) -> list[Issue]:
    """What is wrong with a target, by the rules of family MSK; an empty list if nothing is.

    The ids are read back and compared with the ground truth, the report and the policy's rows. None of the code that
    built the target takes part. With ``rollout_ids`` the kept prefix is compared with what was generated, too.
    ``place`` says which sample it is; an issue adds what in it is at fault, such as ``ce_weight[17]``.

    Raises:
        ContractError: the ground truth itself breaks a rule of the record.
        ValueError: the tokenizer cannot be used.
    """
    table = token_table(tokenizer)
    objects = ground_truth_objects(gt, table)
    findings = _findings(target, objects, table, rollout_ids)
    return [rule(found.rule).issue(Place(place.path, place.line, at=found.at), found.values) for found in findings]


def require_sound(
    target: Target,
    gt: GroundTruth,
    tokenizer: AnyTokenizer | TokenTable,
    rollout_ids: Sequence[int] | None = None,
    *,
    place: Place = NOWHERE,
) -> None:
    """The same for training: nothing happens to a sound target.

    Raises:
        ContractError: the target breaks a rule; all issues are in it.
    """
    issues = check_target(target, gt, tokenizer, rollout_ids, place=place)
    if issues:
        raise ContractError(issues)


def _findings(
    target: Target, objects: Sequence[DetObject], table: TokenTable, rollout_ids: Sequence[int] | None
) -> list[Finding]:
    rollout = None if rollout_ids is None else [int(token_id) for token_id in rollout_ids]
    found = [*_lengths(target), *_unknown("ids", target.ids, table), *_unknown("rollout_ids", rollout or (), table)]
    policy = policy_named(target.policy)
    if policy is None:
        policies = mask_policies()
        known = [*policies.by_name, *policies.ground_truth]
        values = {"value": target.policy, "suggestion": did_you_mean(target.policy, known), "known": ", ".join(known)}
        return [*found, Finding("target-policy", ("policy",), values)]
    if found:
        return found
    try:
        case = make_case(target, objects, table, rollout, policy)
    except Unreadable as error:
        return [Finding("target-unreadable", ("ids",), {"reason": str(error)})]
    return [finding for check in RULES for finding in check(case)]


def _lengths(target: Target) -> Iterator[Finding]:
    """As many weights, owners and kinds as ids."""
    for name in ("ce_weight", "owner", "kind"):
        count = len(getattr(target, name))
        if count != len(target.ids):
            yield Finding("target-length", (name,), {"field": name, "value": count, "expected": len(target.ids)})


def _unknown(field: str, ids: Sequence[int], table: TokenTable) -> Iterator[Finding]:
    """Ids that the tokenizer does not have."""
    for position, token_id in enumerate(ids):
        if not (0 <= token_id < len(table.bytes_of) and table.bytes_of[token_id]):
            values = {"position": position, "value": token_id, "count": len(table.bytes_of)}
            yield Finding("unknown-token", (field, position), values)
