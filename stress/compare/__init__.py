"""One small service, unguarded, guarded, and behind the proxies that people use, side by side."""
