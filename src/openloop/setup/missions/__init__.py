"""Missions that come from elsewhere: the templates that ship, and loops of other tools.

`templates` copies one that ships; `foreign_loop` translates a loop of another tool.
"""
