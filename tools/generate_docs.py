"""Write what says the same as something else, or check that it still does.

These are the pages of docs/ that say what contracts/ and the typed config say, and contracts/config.schema.json.

python tools/generate_docs.py            write them
python tools/generate_docs.py --check    write nothing; exit 1 and name the files that differ
"""

from __future__ import annotations

import inspect
import json
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import yaml
from pydantic.fields import FieldInfo

from coordspec.checks.finding import CoordSpace
from coordspec.config.model import Config, takes
from coordspec.config.sections import Section, facts, section_of, section_text
from coordspec.config.show import config_schema
from coordspec.contracts import (
    Kind,
    MaskPolicy,
    MaskRow,
    Owner,
    Rule,
    mask_policies,
    payload_contract,
    record_contract,
    rule,
    rule_book,
    schema,
)
from coordspec.coords import BINS, MAX_BIN, TOKENS, bin_from_pixel
from coordspec.findings.explain import heading_anchor, markdown_text, rule_markdown, with_placeholders
from coordspec.record import CoordForm, DetObject, Record
from coordspec.rollout.reasons import DropReason
from coordspec.stats import Stats
from coordspec.train.logs import METRICS

ROOT: Final = Path(__file__).resolve().parent.parent
NOTICE: Final = "<!-- Generated from contracts/ by tools/generate_docs.py. Change those, not this page. -->"
EXAMPLE: Final = Record(
    images=("images/000001.jpg",),
    width=640,
    height=480,
    objects=(
        DetObject("black cat", bbox_2d=(110, 310, 410, 705)),
        DetObject("碗", poly=(500, 600, 620, 600, 560, 720)),
    ),
)


CHANNEL_B: Final = Path("docs/training/CHANNEL_B.md")
STAGE2_RUNBOOK: Final = Path("docs/training/STAGE2_RUNBOOK.md")


def pages() -> dict[Path, str]:
    """Every generated page, by its path below the repository's root."""
    rules = Path("docs/rules")
    families = {rules / f"{family.lower()}.md": _family_page(family) for family in rule_book().families}
    data = Path("docs/data")
    pages = {data / "JSONL_CONTRACT.md": _contract_page(), data / "STATS.md": _stats_page()}
    pages |= {Path("docs/training/CONFIG.md"): _config_page(), CHANNEL_B: _channel_b_page()}
    pages |= {STAGE2_RUNBOOK: _stage2_page()}
    pages |= {Path("docs/training/METRICS_LOSSES.md"): _metrics_page()}
    return {rules / "README.md": _rules_page(), **families, **pages}


def generated() -> dict[Path, str]:
    """Every generated file, by its path below the repository's root."""
    return {Path("contracts/config.schema.json"): json_text(config_schema()), **pages()}


def json_text(value: Any) -> str:
    """A JSON file as it is written here."""
    return json.dumps(value, indent=2, ensure_ascii=False) + "\n"


def _stats_page() -> str:
    """What ``coordspec stats --format json`` prints, from the docstring of the method that makes it."""
    keys = inspect.cleandoc(Stats.value.__doc__ or "").replace("``", "`")
    return f"""{NOTICE.replace("contracts/", "src/coordspec/stats.py")}

# Statistics

    coordspec stats FILE… [--format text|json] [--coord-space norm1000|pixel] [--max-line-bytes N]

Counts records, objects, geometries, descriptions and box sizes of contract files; all files are counted together. Lines
that break the contract at error level are left out and counted, and the exit status is then 1.

## `--format json`

`files` lists the inputs. {keys}
"""


def stale() -> list[Path]:
    """The files that are missing or differ from what would be written."""
    return [path for path, text in generated().items() if not _holds(ROOT / path, text)]


def _holds(file: Path, text: str) -> bool:
    return file.is_file() and file.read_text("utf-8") == text


def main(arguments: Sequence[str]) -> int:
    """Write or check; returns the exit status."""
    if list(arguments) == ["--check"]:
        different = stale()
        for path in different:
            print(f"{path} is out of date; run python tools/generate_docs.py", file=sys.stderr)
        return 1 if different else 0
    if arguments:
        print(__doc__, file=sys.stderr)
        return 2
    for path, text in generated().items():
        (ROOT / path).parent.mkdir(parents=True, exist_ok=True)
        (ROOT / path).write_text(text, "utf-8")
    return 0


# ---------------------------------------------------------------- Markdown


def _page(*blocks: str) -> str:
    return "\n\n".join(block.strip("\n") for block in blocks) + "\n"


def _table(header: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = [header, ["---"] * len(header), *rows]
    return "\n".join("| " + " | ".join(_cell(cell) for cell in line) + " |" for line in lines)


def _cell(text: str) -> str:
    """A cell's text; a bar ends a cell in GitHub's tables, in code spans too, unless a backslash stands before it."""
    return text.replace("\\|", "|").replace("|", "\\|")


def _code(text: str) -> str:
    return f"`{text}`"


def _fenced(text: str) -> str:
    return f"```json\n{text}\n```"


def _rule_link(item: Rule, folder: str = "") -> str:
    return f"[{item.code}]({folder}{item.family.lower()}.md#{heading_anchor(item)})"


def _rule_table(rules: Iterable[Rule], folder: str = "") -> str:
    rows = (
        (_rule_link(r, folder), r.name, r.severity.value, markdown_text(with_placeholders(r.message))) for r in rules
    )
    return _table(("Code", "Name", "Severity", "Message"), rows)


def _rules_of(*families: str) -> list[Rule]:
    return [r for r in rule_book().by_name.values() if r.family in families]


# ---------------------------------------------------------------- docs/rules


def _rules_page() -> str:
    blocks = [
        NOTICE,
        "# Rules",
        "Every finding that `coordspec` reports belongs to one of these rules. `coordspec rule NAME` shows the same in "
        "the terminal (`--format text|markdown|json`), and `coordspec rules` lists them (`--family GEO`, `--format "
        "text|json`). A word in ‹angle quotes› stands for a value from the data. A code is never given to another "
        "rule.",
        "The format itself is described in [the JSONL contract](../data/JSONL_CONTRACT.md), the forms of a report in "
        "[report formats](../formats.md).",
    ]
    for family, about in rule_book().families.items():
        blocks += [f"## {family}: {about}", _rule_table(_rules_of(family))]
    return _page(*blocks)


def _family_page(family: str) -> str:
    rules = [rule_markdown(r, level=2) for r in _rules_of(family)]
    return _page(NOTICE, f"# {family}: {rule_book().families[family]}", "[All rules](README.md)", *rules)


# ---------------------------------------------------------------- docs/data/JSONL_CONTRACT.md


def _contract_page() -> str:
    return _page(
        NOTICE,
        "# The JSONL contract",
        "One line is one image sample with its objects. The same contract as data: "
        "[record.schema.json](../../contracts/record.schema.json), "
        "[payload.schema.json](../../contracts/payload.schema.json), [rules.yaml](../../contracts/rules.yaml). "
        "`coordspec validate` holds files to it, and [every rule](../rules/README.md) has a page.",
        "A record, with integer bins and with coord tokens:",
        _fenced("\n".join(EXAMPLE.line(form) for form in (CoordForm.INT, CoordForm.TOKEN))),
        *_line_section(),
        *_record_section(),
        *_object_section(),
        *_geometry_section(),
        *_payload_section(),
        *_limits_section(),
        *_file_section(),
    )


def _line_section() -> Iterator[str]:
    limit = rule("too-long").params["max_line_bytes"]
    yield "## The line"
    yield (
        "A file is UTF-8 text without byte order mark, one record a line, each line ended by a line feed; it may be "
        "compressed (`.gz`, `.zst`). A line is strict JSON: one object, no key twice at any depth, no NaN or Infinity, "
        f"no lone surrogates, at most {rule('too-deep').params['max_depth']} levels deep, at most {limit} bytes "
        f"({limit >> 20} MiB) long unless `--max-line-bytes` says otherwise, and no integer of more than "
        f"{rule('huge-number').params['max_digits']} digits."
    )
    yield _rule_table(_rules_of("JSN"), "../rules/")


def _record_section() -> Iterator[str]:
    record = schema("record")
    yield "## The record"
    yield _field_table(record["properties"], record["required"])
    yield (
        "Image paths are relative to the folder of the JSONL file, or to `--image-root`, and never leave it. "
        f"Another field is a warning, {_named('unknown-field')}."
    )
    yield _rule_table(_rules_of("REC"), "../rules/")


def _object_section() -> Iterator[str]:
    item = schema("record")["$defs"]["object"]
    geometries = " and ".join(map(_code, record_contract().geometries))
    yield "## An object"
    yield _field_table(item["properties"], item["required"])
    yield (
        f"Each object has exactly one of {geometries}. A desc is not blank, holds no control character, and nothing "
        "that the tokenizer reads as a special token: no text of the shape `<|…|>`, and none of "
        + ", ".join(map(_code, rule("special-token-desc").params["tokens"]))
        + "."
    )
    yield "Keys of older formats are errors that say what to write instead:"
    replacements: Mapping[str, Mapping[str, Any]] = rule("legacy-key").params["replacements"]
    yield _table(
        ("Legacy key", "Write instead"), ((_code(key), markdown_text(to["text"])) for key, to in replacements.items())
    )
    yield _rule_table(_rules_of("OBJ", "DUP"), "../rules/")


def _geometry_section() -> Iterator[str]:
    contract = record_contract()
    arity, least = contract.bbox_arity, contract.poly_min
    yield "## Geometry and coordinates"
    yield "\n".join(
        (
            f"- A coordinate is a *bin*, an integer from {contract.min_bin} to {MAX_BIN} ({CoordSpace.NORM1000}), or "
            f"the *coord token* of a bin, `{TOKENS[0]}` to `{TOKENS[-1]}`, without leading zeros. One geometry never "
            "mixes the two. Floats and booleans are no coordinates.",
            f"- `bbox_2d` has exactly {arity} coordinates, `x1, y1, x2, y2`, with x1 ≤ x2 and y1 ≤ y2. A box without "
            f"width or height is a warning, {_named('degenerate-box')}.",
            f"- `poly` is a flat list of at least {least} coordinates, an even number of them, "
            "`x1, y1, x2, y2, x3, y3, …`. A list of [x, y] pairs is accepted and flattened. `poly_points`, if it is "
            "there, is the number of points.",
            f"- In intermediate files, read with `--coord-space {CoordSpace.PIXEL}`, a coordinate is a finite number "
            "from 0 to the image's width or height.",
        )
    )
    yield "### From pixels to bins"
    yield (
        f"`bin = round({MAX_BIN} * pixel / max(1, side - 1))`, clamped to {contract.min_bin}..{MAX_BIN}, where `side` "
        f"is the image's width for x and its height for y. From a bin to a unit coordinate: `bin / {MAX_BIN}`. There "
        f"are {BINS} bins. In an image that is {EXAMPLE.width} pixels wide:"
    )
    pixels = (0, 1, 319.5, EXAMPLE.width - 1, EXAMPLE.width)
    yield _table(("Pixel", "Bin"), ((f"{pixel:g}", str(bin_from_pixel(pixel, EXAMPLE.width))) for pixel in pixels))
    yield _rule_table(_rules_of("GEO"), "../rules/")


def _payload_section() -> Iterator[str]:
    yield "## The assistant payload"
    form = payload_contract()
    yield (
        f"What the model is taught to write for the record above: one JSON object with the keys `{form.key(1)}`, "
        f"`{form.key(2)}`, … in the order of the objects, coordinates as quoted coord tokens, "
        f"`{form.item_separator}` and `{form.key_separator}` as separators, non-ASCII text as it is. A record "
        "without objects gives `{}`."
    )
    yield _fenced(EXAMPLE.payload())
    item = schema("payload")["additionalProperties"]
    facts = (f"`{name}` is {_type(field)}" for name, field in item["properties"].items())
    yield f"In an object, {'; '.join(facts)}. Nothing else stands in it."
    yield (
        "An object that breaks a rule at error level is refused with its place and the rule; nothing partial is ever "
        "written. Training refuses such objects too, by the rules in the tables of this page: the run stops with file, "
        "line and rule, and neither leaves an object out nor skips the record. See "
        "[training data](../training/DATA.md)."
    )


def _limits_section() -> Iterator[str]:
    contract = record_contract()
    yield "## Limits beyond the rules"
    yield (
        "Whatever else a JSON Schema asks is checked by the library `jsonschema`, and a breach is "
        f"{_named('schema-limit')}. Such limits stand in the contract's own schema, or in one of "
        "yours: see [validate](VALIDATE.md)."
    )
    for what, limits in (("a record", contract.limits), ("an object", contract.object_limits)):
        if limits is not None:
            yield f"The contract asks of {what}:"
            yield _fenced(json.dumps(limits.schema, indent=2, ensure_ascii=False))
    yield _rule_table(_rules_of("SCH"), "../rules/")


def _file_section() -> Iterator[str]:
    yield "## Images and whole files"
    yield (
        "With `--check-images` the image files are opened and measured. What one record cannot show is judged from the "
        "statistics of the file."
    )
    yield _rule_table(_rules_of("IMG", "DAT"), "../rules/")


def _named(name: str) -> str:
    return f"{_rule_link(rule(name), '../rules/')} {name}"


# ---------------------------------------------------------------- docs/training/CHANNEL_B.md, STAGE2_RUNBOOK.md


def _channel_b_page() -> str:
    """The page as it stands, with its tables written anew."""
    page = _as_it_stands(CHANNEL_B)
    policies = mask_policies()
    page = _filled(page, "drop reasons", _reason_table())
    page = _filled(page, "mask policies", *(_policy_block(policy) for policy in policies.by_name.values()))
    return _filled(page, "ground truth", *(_policy_block(policy) for policy in policies.ground_truth.values()))


def _stage2_page() -> str:
    """The same for the policy that Stage-2 uses."""
    policies = mask_policies()
    return _filled(_as_it_stands(STAGE2_RUNBOOK), policies.default, _policy_block(policies.by_name[policies.default]))


def _as_it_stands(page: Path) -> str:
    return (Path(__file__).resolve().parent.parent / page).read_text("utf-8")


def _filled(page: str, name: str, *blocks: str) -> str:
    """The page with these blocks between the two comments of that name."""
    begin, end = f"<!-- {name}: begin -->", f"<!-- {name}: end -->"
    before, rest = page.split(begin)
    return "\n\n".join([f"{before}{begin}", *blocks, f"{end}{rest.split(end)[1]}"])


def _reason_table() -> str:
    return _table(("Reason", "What it means"), ((_code(reason), reason.meaning) for reason in DropReason))


def _policy_block(policy: MaskPolicy) -> str:
    """What the row set is for, and its rows."""
    default = " (default)" if policy.name == mask_policies().default else ""
    kinds = [kind for kind in Kind if any(kind in row.weights for row in policy.rows.values())]
    rows = (
        (owner, *(f"{row.weights[kind]:g}" if kind in row.weights else "" for kind in kinds), *_losses(owner, row))
        for owner, row in policy.rows.items()
    )
    table = _table(("owner", *kinds, "geometry", "coord_loss"), rows)
    return f"**{_code(policy.name)}**{default}: {policy.about}\n\n{table}"


def _losses(owner: Owner, row: MaskRow) -> tuple[str, str]:
    return ("", "") if owner is Owner.FRAME else (row.geometry, row.coord_loss)


# ---------------------------------------------------------------- docs/training/CONFIG.md


def _config_page() -> str:
    return _page(
        NOTICE.replace("contracts/", "src/coordspec/config/"),
        "# Training configs",
        "A run is described by one YAML file and those that it extends. `coordspec check-config` checks it, before "
        "anything is loaded; these are all settings that there are. What is not required has a default here, and "
        "nowhere else: a run uses exactly what `coordspec config show` prints.",
        *_config_introduction(),
        *_section_blocks(Config, ()),
    )


def _config_introduction() -> Iterator[str]:
    yield "## How a file is written"
    yield "\n".join(
        (
            "- `extends` names one file or a list of files, relative to the file in which it stands. The file wins "
            "over those, a later one over an earlier one; mappings are merged, lists and single values replaced.",
            "- Paths are relative to the folder of the YAML file in which they stand, whoever extends it.",
            "- Types are exact: text is no number, a number is no text, and only `true` and `false` are booleans. A "
            "whole number may stand where a number is asked for. YAML reads `1e-5` as text; write `1.0e-5`.",
            "- `null` is a value of its own, allowed where the table says so; it also undoes what a parent sets.",
        )
    )
    yield (
        "The form of a file is a JSON Schema, [config.schema.json](../../contracts/config.schema.json), which "
        "`coordspec schema config` prints. Editors with a YAML language server complete keys and show these texts "
        "where the first line of a file names it, as in the recipes under `configs/`, such as "
        "[the Stage-1 recipe](../../configs/stage1/retrain.yaml):"
    )
    yield "```yaml\n# yaml-language-server: $schema=../../contracts/config.schema.json\n```"
    yield (
        "`coordspec schema NAME` prints the other files of the contract too: `record` and `payload` as JSON Schemas, "
        "`rules` and the other tables as YAML."
    )


def _section_blocks(section: type[Section], at: tuple[str, ...]) -> Iterator[str]:
    """The settings of a section as a table, then the sections in it under their own headings."""
    inner = {name: section_of(field) for name, field in section.model_fields.items()}
    rows = [_setting_row((*at, name), section.model_fields[name]) for name, below in inner.items() if below is None]
    if rows:
        yield _table(("Setting", "Default", "Takes", "Unit", "What it does", "Source"), rows)
    for name, below in inner.items():
        if below is not None:
            yield f"{'#' * (len(at) + 2)} {'.'.join((*at, name))}"
            yield " ".join(filter(None, [section_text(below), section.model_fields[name].description]))
            yield from _section_blocks(below, (*at, name))


def _setting_row(at: tuple[str, ...], field: FieldInfo) -> Sequence[str]:
    unit, source = facts(field)
    default = "required" if field.is_required() else _code(_yaml(field.default))
    known = takes(at)
    assert known is not None
    return _code(at[-1]), default, known.expected, unit or "", markdown_text(field.description or ""), source


def _yaml(value: object) -> str:
    """A default as it would stand in a config, on one line."""
    listed = list(value) if isinstance(value, tuple) else value
    text: str = yaml.safe_dump(listed, default_flow_style=True, width=10_000, allow_unicode=True)
    return text.removesuffix("\n").removesuffix("\n...")


# ---------------------------------------------------------------- docs/training/METRICS_LOSSES.md


_METRIC_GROUPS: Final = (
    ("What is minimised", ("loss",)),
    ("Stage-2: the channels", ("schedule/", "channel_a/", "channel_b/")),
    ("Stage-2: the rollouts", ("rollout/",)),
    ("Beside the loss", ("coord/",)),
    ("What a step counts", ("count/",)),
    ("Optimizer and progress", ("grad_norm", "learning_rate", "epoch")),
    ("Time and memory", ("time/", "speed/", "memory/")),
    ("On validation data", ("eval/",)),
)


def _metrics_page() -> str:
    return _page(
        NOTICE.replace("contracts/", "src/coordspec/train/logs.py"),
        "# Metrics and losses",
        "What `coordspec train` logs: to `metrics.jsonl` in the run's folder (`logging.jsonl`), one JSON object a line "
        "with the optimizer step behind which it was written as `step`; to TensorBoard under the same names "
        "(`logging.tensorboard`, in the folder `tensorboard`); and some of them to the terminal (`logging.console`). "
        "The formulas are in [losses](../losses.md).",
        *_metrics_reading(),
        *_metric_tables(),
        *_metrics_watching(),
    )


def _metrics_reading() -> Iterator[str]:
    yield "## How to read a line"
    yield "\n".join(
        (
            "- A line comes after every `training.logging_steps` optimizer steps, and after the last one. Its values "
            "are means over the steps since the line before.",
            "- A part of the loss is one sum divided once by one count, both over all micro-batches and ranks of an "
            "optimizer step. How the step is cut into batches, packed rows and ranks changes no value but by "
            "rounding. `count/base` and `count/coord` are these counts, in Stage-2 `count/ce_weight`, `count/coord`, "
            "`count/matched` and `count/fn`.",
            "- Parts are logged before their weights, those with weight 0 too. In Stage-1 `loss` is `loss/base_ce` "
            "plus the parts of the coordinates times `soft_ce_weight`, `w1_weight`, `ce_weight` and `gate_weight` of "
            "`custom.coord_soft_ce_w1`. Without coord tokens in the config every target is in `loss/base_ce`, and the "
            "names of coordinates are absent.",
            "- In Stage-2 each step is of one channel. Names with `channel_a/`, `channel_b/` and `rollout/` are means "
            "over the steps of their channel alone, and absent from a line without one; rates of rollouts are ratios "
            "of sums over all rollouts of the line. A channel's loss is its `ce` plus `geo_weight` times its box "
            "losses (`geo`; `geo_matched` + `geo_fn`), and under `rollout_matching` its `ce` plus the parts of the "
            "coordinates times their weights.",
            "- Names with `eval/` stand in lines of their own, after every `training.eval_steps` and at the end. "
            "Losses are means over all of `data.val`, in Stage-2 those of Stage-1, so that both can be compared. What "
            "is measured on the model's own answers is there with `eval.generate`: answers are written greedily, read "
            "strictly and matched class by class without confidences, as [`coordspec eval`](../evaluation/EVAL.md) "
            "does; a ratio to nothing is left out.",
            "- A resumed run cuts off the lines behind its checkpoint and writes them again. All of them are equal to "
            "those of an unbroken run, but for time, speed and memory.",
        )
    )


def _metric_tables() -> Iterator[str]:
    def belongs(name: str, starts: Sequence[str]) -> bool:
        return any(name == start or name.startswith(f"{start}/" if start == "loss" else start) for start in starts)

    for title, starts in _METRIC_GROUPS:
        rows = [(_code(name), markdown_text(text)) for name, text in METRICS.items() if belongs(name, starts)]
        yield f"## {title}"
        yield _table(("Name", "What it is"), rows)


def _metrics_watching() -> Iterator[str]:
    yield "## What to look for"
    yield "\n".join(
        (
            "- `coord/vocab_mass` rises towards 1 early, before boxes are right: the model knows where a coordinate "
            "belongs. If it does not, `gate_weight` and `ce_weight` may both be 0.",
            "- `coord/expected_bin_error` begins near a third of the bins and falls as long as boxes get better, long "
            "after `loss/base_ce` has stopped. It decodes nothing, so a distribution with two wrong halves has a large "
            "value even if its mean is right.",
            "- `loss/coord_soft_ce` has a floor, the entropy of the target: 2.11 for `target_sigma: 2`. It never comes "
            "near 0.",
            "- `grad_norm` above `max_grad_norm` in most lines means that the learning rate is what the clipping makes "
            "of it. A loss or gradient that is not finite stops the run and names the samples.",
            "- `rollout/recall` and `rollout/mean_matched_iou` rise, `rollout/fn_injected` falls: the model finds more "
            "of the objects, and comes nearer.",
            "- `rollout/predictions_per_gt`, `rollout/mean_tokens` and `rollout/duplicate_rate` stay where "
            "they were; if they grow, Channel-B is teaching it never to stop, and `b_ratio` is too large.",
            "- `rollout/truncation_rate` above 0 means that rollouts run into `max_new_tokens` or a limit of "
            "`rollout_matching.termination`, or are no JSON; `rollout/dropped/…` says what is wrong with entries.",
            "- `time/generate_s` is most of a Channel-B step. `rollout_matching.batch.size` is the number of prompts "
            "that share it.",
            "- `time/data_s` near `time/step_s` means that the GPU waits for data: raise `dataloader_num_workers`.",
            "- `eval/loss` that rises while `loss` falls is overfitting; `eval.metric_for_best` keeps the checkpoint "
            "from before.",
        )
    )


# ---------------------------------------------------------------- fields of a schema


def _field_table(properties: Mapping[str, Mapping[str, Any]], required: Sequence[str]) -> str:
    rows = (
        (_code(name), "yes" if name in required else "no", _type(field), field.get("description", ""))
        for name, field in properties.items()
    )
    return _table(("Field", "Required", "Type and limits", "What it is"), rows)


def _type(node: Mapping[str, Any]) -> str:
    """A node of the schema in words: ``array, not empty, each string, not empty``."""
    if "$ref" in node:
        name = node["$ref"].rsplit("/", 1)[1]
        return (
            "[geometry](#geometry-and-coordinates)" if name in record_contract().geometries else name.replace("_", " ")
        )
    words = ", ".join([node.get("type", "any value"), *_limits(node)])
    return f"{words}, each {_type(node['items'])}" if "items" in node else words


def _limits(node: Mapping[str, Any]) -> Iterator[str]:
    if node.get("minLength") == 1 or node.get("minItems") == 1:
        yield "not empty"
    elif "minItems" in node:
        exact = node["minItems"] == node.get("maxItems")
        yield f"exactly {node['minItems']} items" if exact else f"at least {node['minItems']} items"
    if "minimum" in node:
        yield f"at least {node['minimum']}"


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
