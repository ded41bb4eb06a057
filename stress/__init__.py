"""The stress harness: open-loop load against the real service, on loopback only."""
