"""Files that other tools read, one format a module."""
