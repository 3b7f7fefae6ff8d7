"""From a request to a list: stages in the order of the files' names in `pipeline`."""
