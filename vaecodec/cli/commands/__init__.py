"""Commands of the command line beyond `compress` and `decompress`, one module a task."""
