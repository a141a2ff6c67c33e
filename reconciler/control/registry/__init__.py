"""The registry: what the control zone knows of hosts and operators, on SQLite or PostgreSQL by one code path.

`Registry` opens a database and gives transactions; one module for each subject has plain functions over such a connection, each
of them an answer or a change, with the time passed in. Git, signed controls and the agents themselves are enough to make it again.
"""
