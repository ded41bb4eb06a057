"""Grafana dashboards and Prometheus rules for Guard's metrics.

``sections`` holds the one table of panels; ``python -m dashboards`` writes Grafana's files from it.
"""
