"""Bytes: the container, the entropy coder and its tables, model files' headers, whole files on disk. No torch.

In come symbols with the numbers of their tables, and fields of a header; out go the bytes of a `.vae` file, and back.
"""
