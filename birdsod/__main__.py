"""``python -m birdsod`` is ``birdsod``."""

from birdsod.cli import main

if __name__ == "__main__":
    main()
