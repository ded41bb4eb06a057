"""Every claim, its bar, its figure: all commands of the harness run in short, on one page."""
