"""Backups: one archive each, proved when it is made; listed, pruned, and brought back."""
