"""The zone that reads git, asks OPA and holds the releases keys; it listens to nobody."""
