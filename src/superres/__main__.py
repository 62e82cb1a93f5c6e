"""``python -m superres``: the command."""

from superres.cli import main

if __name__ == "__main__":
    main()
