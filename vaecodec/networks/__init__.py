"""The model: layers, transforms, prior and posterior; the integer form of what must be exact; weights on disk.

In come pixels or latents; out go latents, or their tables, or pixels. Knows no files but weights.
"""
