"""HTTP in front of a shard."""
