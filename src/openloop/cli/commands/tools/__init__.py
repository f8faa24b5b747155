"""The subcommands that need no workspace of their own, a file each."""
