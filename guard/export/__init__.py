"""What leaves the process: metrics for Prometheus, log lines, the docs' table of metrics."""
