"""Regressions: one test a bug that was found, named after its cause."""
