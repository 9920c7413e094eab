"""Sarcofuse: recurrence of soft tissue sarcoma from one MRI, honestly validated."""
