"""The zone that faces the network; it holds online keys only and never reads git."""
