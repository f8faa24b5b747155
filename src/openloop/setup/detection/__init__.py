"""What `init` finds out about a project from its files: languages, test commands, patterns."""
