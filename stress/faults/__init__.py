"""Faults around the service: its processes, its resources, its clock, its database's host."""
