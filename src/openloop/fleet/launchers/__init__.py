"""Launchers: data that says how an engine is spoken to, and what runs at its other end."""
