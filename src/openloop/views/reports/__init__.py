"""`openloop report`: what a report contains, and its formats."""
