"""The codec where other programs look for one: a Pillow format, a class for Ray Data, a torch module.

In come what those programs pass around; out go the same, compressed or restored.
"""
