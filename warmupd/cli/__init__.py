"""The command line: one file a noun; composes everything else."""
