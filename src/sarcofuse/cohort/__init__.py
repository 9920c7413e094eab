"""The cohort stage."""
