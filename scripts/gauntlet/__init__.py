"""The parts of scripts/gauntlet.py."""
