"""Guard's real rules in virtual time: clients, workers and a database are models around them.

The same seed gives the same run, bit for bit. What is not modelled: the processor, the
interpreter, the network (but for the time a retry is under way), and what PostgreSQL or DuckDB do
inside beyond a service time.
"""
