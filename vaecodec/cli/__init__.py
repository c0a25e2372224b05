"""The command line: commands, the console, batches and their processes, pages. No logic of the codec.

In come arguments, files and folders; out go files, lines and exit codes.
"""
