"""The offline store: a log as Parquet files that DuckDB, Iceberg and Spark read."""
