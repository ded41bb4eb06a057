"""Databases behind one protocol; import a backend from its own package."""
