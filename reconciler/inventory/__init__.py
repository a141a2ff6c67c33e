"""From lists of hosts to Agent manifests in a working copy: inventories, tables, and what asked to join and is not known yet."""
