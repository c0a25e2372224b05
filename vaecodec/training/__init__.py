"""Training: pictures in memory, optimisers, the loop, the export. Nothing that decodes imports this."""
