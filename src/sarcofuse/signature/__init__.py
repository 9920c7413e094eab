"""The signature stage."""
