"""OpenLoop runs a monitored feedback loop around any agent that a shell command can start."""

__version__ = "0.1.0"
