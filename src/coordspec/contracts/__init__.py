"""``contracts/`` as typed values: the only copy of every fact, read here and nowhere else."""

from coordspec.contracts.files import ContractFileError, contract_bytes, contract_files, did_you_mean, schema
from coordspec.contracts.limits import Breach, SchemaLimits, keyword_faults, subschemas
from coordspec.contracts.masks import NO_LOSS, Kind, MaskPolicies, MaskPolicy, MaskRow, Owner, TargetText, mask_policies
from coordspec.contracts.payload import PayloadContract, payload_contract
from coordspec.contracts.record import RecordContract, record_contract
from coordspec.contracts.rules import Rule, RuleBook, rule, rule_book

__all__ = [
    "NO_LOSS",
    "Breach",
    "ContractFileError",
    "Kind",
    "MaskPolicies",
    "MaskPolicy",
    "MaskRow",
    "Owner",
    "PayloadContract",
    "RecordContract",
    "Rule",
    "RuleBook",
    "SchemaLimits",
    "TargetText",
    "contract_bytes",
    "contract_files",
    "did_you_mean",
    "keyword_faults",
    "mask_policies",
    "payload_contract",
    "record_contract",
    "rule",
    "rule_book",
    "schema",
    "subschemas",
]
