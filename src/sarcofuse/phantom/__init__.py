"""The phantom stage."""
