"""Features that batch jobs publish: tables in RocksDB or Redis, read with every list."""
