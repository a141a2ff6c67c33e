"""From documents to finished state: who is in a fleet, what each of its groups holds, and where that came from.

All of it is a pure function of a world (all documents, indexed), a tree (the bytes of sources) and the format.
Whatever can be wrong across documents is found here, all of it at once, before anything is compiled.
"""
