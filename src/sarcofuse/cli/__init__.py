"""The command line: each command parses, calls one public function, and says what came of it."""

from sarcofuse.cli.app import main

__all__ = ["main"]
