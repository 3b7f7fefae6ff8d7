"""Is what the shard does still what it should do: audits of the log beside the running shard."""
