"""The subcommands that take no WORKSPACE, a file each."""
