"""What the owner of a host decides: `agent.toml`, read strictly, and what it lets a release touch."""
