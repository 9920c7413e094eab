"""``python -m sarcofuse``."""

from sarcofuse.cli import main

if __name__ == "__main__":
    main()
