"""The imaging stage."""
