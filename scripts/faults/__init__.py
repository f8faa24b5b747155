"""Faults provoked against the real program, one module a family."""
