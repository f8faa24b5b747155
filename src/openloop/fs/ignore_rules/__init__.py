"""The files that a project ignores, as far as the policy is concerned."""
