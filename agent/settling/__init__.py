"""Bringing the host to what its fleets ask for, and holding it there: who waits for whom, what converges first, what has drifted."""
