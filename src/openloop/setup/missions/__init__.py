"""Missions that come from elsewhere: the templates that ship, and loops of other tools."""
