"""How ordain gets onto machines: packages, units and images. Nothing here is part of the distribution."""
