"""Upgrades that change the database: drain, save, and go back by itself when anything fails.

The installer calls the steps over its connection while it holds the run lock. A guard on the
server waits for that lock: who gets it while an upgrade is open finds that the installer, its
connection or the server died, and goes back.
"""
