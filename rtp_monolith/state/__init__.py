"""Views of the log: kept in memory, flushed to RocksDB, made again from the log when need be."""
