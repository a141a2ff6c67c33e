"""A relay: a site's own copy of its fleets' repositories, and its reports on their way. It signs nothing, and nobody believes it."""
