"""``python -m coordspec_cli``: the ``coordspec`` command where its script is not on the PATH."""

from coordspec_cli.main import main

main()
