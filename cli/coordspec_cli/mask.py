"""``coordspec mask``: a window on what a target teaches."""

from __future__ import annotations

import json
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import click

from coordspec.boxes import DEFAULT_IOU_GATE
from coordspec.contracts import Owner, mask_policies
from coordspec.findings.visible import plural, shown, write_line
from coordspec.jsonl.inputs import STDIN
from coordspec.jsonl.write import refuse_output, write_whole
from coordspec_cli.main import EXIT_CLEAN, EXIT_FINDINGS
from coordspec_cli.options import max_line_bytes_option
from coordspec_cli.reporting import colourful

if TYPE_CHECKING:
    from coordspec.rollout.tokens import TokenTable
    from coordspec.view import Selection, TargetView
    from coordspec.view.lines import LineRange

_POLICIES: Final = mask_policies()
_STAGE1: Final = next(iter(_POLICIES.ground_truth))
_FALLBACK_SIZE: Final = (100, 24)
_COLOURS: Final = {Owner.MATCHED: "green", Owner.FP: "red", Owner.FN: "blue", Owner.FRAME: "magenta"}
_STYLES: Final[dict[str, dict[str, Any]]] = {
    "title": {"bold": True},
    "dim": {"dim": True},
    "bad": {"fg": "red", "bold": True},
}


def _ranges(_ctx: click.Context, _param: click.Parameter, words: tuple[str, ...]) -> tuple[LineRange, ...]:
    from coordspec.view.lines import parse_ranges  # noqa: PLC0415 (what --help does not need)

    try:
        return tuple(found for word in words for found in parse_ranges(word))
    except ValueError as error:
        raise click.BadParameter(str(error)) from error


@click.command("mask", epilog="The output is explained in `coordspec docs mask`.")
@click.argument("data", metavar="DATA")
@click.option(
    "--tokenizer",
    type=click.Path(exists=True, path_type=Path),
    required=True,
    help="Folder of the tokenizer, or the tokenizer.json in it. Of dumped targets, the one that built them.",
)
@click.option("--rollouts", metavar="FILE", help="What a model wrote for DATA: .jsonl with ids or text.")
@click.option(
    "--policy",
    type=click.Choice([*_POLICIES.by_name, *_POLICIES.ground_truth]),
    help=f"Rows of masks.yaml.  [default: {_POLICIES.default} with --rollouts, else {_STAGE1}]",
)
@click.option(
    "--iou-gate",
    type=click.FloatRange(0, 1),
    default=DEFAULT_IOU_GATE,
    show_default=True,
    help="With --rollouts: a pair with a smaller IoU is no match.",
)
@click.option(
    "--image-root",
    type=click.Path(exists=True, file_okay=False, path_type=Path),
    metavar="DIR",
    help="Folder that image paths are relative to; without it the folder of DATA.",
)
@click.option(
    "--lines",
    "ranges",
    multiple=True,
    callback=_ranges,
    metavar="LINES",
    help="Lines of DATA to show, as 3 or 3,10-12. May be repeated.",
)
@click.option(
    "--max-samples",
    type=click.IntRange(1, 500),
    default=20,
    show_default=True,
    metavar="N",
    help="Show at most N samples, the first ones.",
)
@click.option(
    "--format",
    "form",
    type=click.Choice(["text", "json"]),
    help="Text for a terminal, or one JSON object (`coordspec docs mask`).  [default: text, nothing with --html]",
)
@click.option("--html", type=click.Path(path_type=Path), metavar="OUT", help="Write one self-contained page.")
@click.option("--overwrite", is_flag=True, help="Replace OUT if it exists. What is read is never replaced.")
@max_line_bytes_option("a longer one stops the command.")
@click.pass_context
def command(
    ctx: click.Context,
    /,
    *,
    data: str,
    tokenizer: Path,
    rollouts: str | None,
    html: Path | None,
    overwrite: bool,
    form: str | None,
    **words: Any,
) -> int:
    """DATA is a contract file (.jsonl, .gz, .zst; - for standard input) or a file of dumped targets. With --rollouts
    the targets are those of Channel-B, without it those of the ground truth. Exit status 1: a target that is shown
    breaks a rule of `coordspec guard`.
    """
    if overwrite and html is None:
        raise click.UsageError("--overwrite does nothing without --html")
    from coordspec.guard.files import load_table  # noqa: PLC0415 (needs packages of an extra)
    from coordspec.tokenizer import TOKENIZER_FILE  # noqa: PLC0415
    from coordspec.view import make_sample  # noqa: PLC0415

    sources = [data, str(tokenizer), str(tokenizer / TOKENIZER_FILE), *([rollouts] if rollouts else [])]
    if html is not None:
        refuse_output(html, overwrite=overwrite, sources=sources)
    table = load_table(tokenizer)
    selection = _selection(ctx, data, rollouts, table, words)
    samples = [make_sample(source, table) for source in selection.sources]
    if html is not None:
        images = [str(sample.picture.file) for sample in samples if sample.picture is not None]
        _write_page(html, samples, overwrite, sources + images)
    if form == "json":
        _write_json(samples)
    elif form == "text" or html is None:
        _write_text(samples)
    for note in _notes(selection):
        click.echo(f"note: {note}", err=True)
    return EXIT_FINDINGS if any(sample.issues for sample in samples) else EXIT_CLEAN


def _selection(
    ctx: click.Context, data: str, rollouts: str | None, table: TokenTable, words: dict[str, Any]
) -> Selection:
    """The targets that are asked for.

    Raises:
        UsageError: options that do not go together.
    """
    from coordspec.view.rollouts import read_rollouts  # noqa: PLC0415
    from coordspec.view.sources import Ask, holds_dumps, read_dumps, read_sources  # noqa: PLC0415

    dumped = holds_dumps(data, words["max_line_bytes"])
    _refuse_options(ctx, data, rollouts, words["policy"], dumped=dumped)
    ask = Ask(
        policy=words["policy"] or (_STAGE1 if rollouts is None else _POLICIES.default),
        iou_gate=words["iou_gate"],
        rollouts=None if rollouts is None else read_rollouts(rollouts, words["max_line_bytes"]),
        image_root=words["image_root"],
        ranges=words["ranges"],
        max_samples=words["max_samples"],
        max_line_bytes=words["max_line_bytes"],
    )
    return read_dumps(data, ask) if dumped else read_sources(data, table, ask)


def _refuse_options(ctx: click.Context, data: str, rollouts: str | None, policy: str | None, *, dumped: bool) -> None:
    given = {name for name in ctx.params if ctx.get_parameter_source(name) is not click.core.ParameterSource.DEFAULT}
    if dumped:
        useless = sorted(given & {"rollouts", "policy", "iou_gate", "image_root"})
        if useless:
            option = "--" + useless[0].replace("_", "-")
            raise click.UsageError(f"{option} does nothing with dumped targets, which {shown(data)} holds")
    elif rollouts is None:
        if "iou_gate" in given:
            raise click.UsageError("--iou-gate does nothing without --rollouts")
        if policy in _POLICIES.by_name:
            raise click.UsageError(f"--policy {policy} needs --rollouts; without them there is {_ground_truth_names()}")
    elif rollouts == data == STDIN:
        raise click.UsageError("only one of DATA and --rollouts can be standard input")
    elif policy in _POLICIES.ground_truth:
        raise click.UsageError(f"--policy {policy} is for the ground truth alone; leave out --rollouts")


def _ground_truth_names() -> str:
    return ", ".join(_POLICIES.ground_truth)


def _write_page(html: Path, samples: list[TargetView], overwrite: bool, sources: list[str]) -> None:
    from coordspec.view import mask_page  # noqa: PLC0415

    with write_whole(html, overwrite=overwrite, sources=sources) as stream:
        stream.write(mask_page(samples).encode())
    click.echo(f"{click.format_filename(html)}: {plural(len(samples), 'sample')}", err=True)


def _write_json(samples: list[TargetView]) -> None:
    from coordspec.view import document  # noqa: PLC0415

    click.echo(json.dumps(document(samples), allow_nan=False))


def _write_text(samples: list[TargetView]) -> None:
    for line in _text_lines(samples, shutil.get_terminal_size(_FALLBACK_SIZE).columns, colours=colourful(sys.stdout)):
        write_line(sys.stdout, line)


def _text_lines(samples: list[TargetView], width: int, *, colours: bool) -> Iterator[str]:
    from coordspec.view.text import legend_lines, plain, sample_lines  # noqa: PLC0415

    paint = _paint if colours else plain
    for sample in samples:
        yield from sample_lines(sample, width, paint)
        yield ""
    yield from (paint(line, "dim") for line in legend_lines(samples))


def _paint(text: str, look: Any) -> str:
    """Colours of a terminal: one for each owner, underlined where there is a weight; descs in italics."""
    if isinstance(look, str):
        return click.style(text, **_STYLES[look])
    owner, kind, weighted = look
    return click.style(text, fg=_COLOURS[owner], underline=weighted or None, italic=kind == "desc" or None)


def _notes(selection: Selection) -> Iterator[str]:
    if selection.without:
        yield f"{plural(selection.without, 'record')} without a rollout left out"
    if selection.left_out:
        yield f"{plural(selection.left_out, 'more sample')} not shown; see --max-samples and --lines"
