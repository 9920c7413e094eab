"""The report: one HTML file that holds everything a reader of the study asks for, and the figures as files."""

from sarcofuse.report.page import write_report

__all__ = ["write_report"]
