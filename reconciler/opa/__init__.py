"""An OPA of our own, whoever asks it: the program, the process and the connection. Which rules it has is its caller's.

Both zones have one: the pipeline's judges fleet repositories, the control zone's decides what operators and hosts may do.
"""
