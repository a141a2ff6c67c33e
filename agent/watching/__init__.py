"""News: asked for at each poll, or told while a request is held; either way only a hint of what to fetch and verify."""
