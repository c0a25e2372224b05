"""Training: pictures in memory, optimisers, the loop, the export. Nothing that decodes imports this.

In come folders of pictures, a configuration and a start; out goes a model file.
"""
