"""The trusted core: what `verify.check` needs, and nothing else."""
