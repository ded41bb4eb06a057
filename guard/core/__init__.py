"""The pure rules: values in, values out. No clock, no lock, no socket, no driver."""
