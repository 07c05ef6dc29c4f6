"""The image of an entry: its path in a record, and its size, read from the file where a format does not say it."""

from __future__ import annotations

from pathlib import Path, PurePosixPath

from coordspec.checks.finding import shown
from coordspec.checks.paths import check_image_path
from coordspec.convert.options import ConvertOptions
from coordspec.convert.pixels import SourceError, refuse, side_fault
from coordspec.jsonl.inputs import STDIN


def record_path(path: str, prefix: str, where: str) -> str:
    """The path as it stands in a record, behind ``prefix``.

    Raises:
        SourceError: it breaks a rule on image paths; ``where`` is the place of the image in the source.
    """
    whole = f"{prefix.rstrip('/')}/{path}" if prefix else path
    try:
        whole.encode()
    except UnicodeEncodeError as error:
        raise SourceError(where, f"the image path {shown(path)} is not valid Unicode; rename the file") from error
    refuse(check_image_path(whole, ()), f"{where}: image path")
    return whole


def sized(path: str, source: str, options: ConvertOptions, where: str) -> tuple[str, int, int]:
    """The path as a record has it but for its prefix, and width and height of the image file that it names.

    An absolute path is taken where it starts with ``options.image_root``. ``source`` is the file that is converted; the
    folder that it stands in is the root if none is given.

    Raises:
        SourceError: the path breaks a rule on image paths, or there is no sound image.
    """
    root = Path(options.image_root or ("" if source == STDIN else Path(source).parent))
    below = _below(path, options.image_root)
    return below, *file_size(root / record_path(below, options.image_prefix, where), where)


def file_size(file: Path, where: str) -> tuple[int, int]:
    """Width and height of an image file in pixels, as seen: turned as its EXIF orientation says.

    Raises:
        SourceError: there is no such file, or it is no sound image.
    """
    from coordspec.image_files import BROKEN, image_size, unreadable  # noqa: PLC0415 (Pillow; most formats do without)

    if not file.is_file():
        advice = "the size of an image is read from its file; see --image-root and --image-prefix"
        raise SourceError(where, f"there is no image {shown(str(file))}; {advice}")
    try:
        _, (width, height) = image_size(file)
    except BROKEN as error:
        raise SourceError(where, f"the image {shown(str(file))} cannot be read: {unreadable(error)}") from error
    fault = side_fault("width", width) or side_fault("height", height)
    if fault is not None:
        raise SourceError(where, f"the image {shown(str(file))} cannot be used: {fault}")
    return width, height


def _below(path: str, root: str) -> str:
    """The path relative to ``root`` if it is absolute and starts with it; what leaves the root again is found later."""
    if root and path.startswith("/") and PurePosixPath(path).is_relative_to(Path(root).absolute()):
        return str(PurePosixPath(path).relative_to(Path(root).absolute()))
    return path
