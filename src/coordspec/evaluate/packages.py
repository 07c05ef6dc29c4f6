"""What the extra ``eval`` installs, and what is said where it is missing."""

from __future__ import annotations

from coordspec.errors import CoordspecError


class MissingPackageError(CoordspecError):
    """A package of the extra ``eval`` is needed and not installed."""

    def __init__(self, package: str | None) -> None:
        self.package = package
        super().__init__(f"evaluation needs the package {package}; install the extra: pip install 'coordspec[eval]'")
