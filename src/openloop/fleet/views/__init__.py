"""The views of a fleet for people and programs. They never write."""
