"""What the watcher does beside the gauges: queues, lock waits, log lines at changes of state.

Each is called with the time, five times a second, from the watcher's thread alone.
"""
