"""``python -m superres.cli`` is the same as ``superres``."""

from superres.cli import main

main()
