"""The bundle stage."""
