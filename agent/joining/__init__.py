"""Who this host is to ordain: its key, its certificate, how it got them, and how it keeps them."""
