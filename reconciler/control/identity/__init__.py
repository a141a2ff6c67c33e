"""Who asks: an agent by its certificate, an operator by a token."""
