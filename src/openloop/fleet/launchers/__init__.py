"""Launchers: data that describes the commands of an engine, and the program that it starts."""
