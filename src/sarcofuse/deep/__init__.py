"""The deep stage."""
