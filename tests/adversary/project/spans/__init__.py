"""Spans of a day: read, joined, added up."""

from spans.clock import read, write
from spans.merge import merge
from spans.report import report

__all__ = ["merge", "read", "report", "write"]
