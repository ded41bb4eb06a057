"""What runs the scenarios: their description, their bars, one command."""
