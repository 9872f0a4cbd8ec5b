"""Records as terminal tables, files and pictures."""
