"""A second decoder, written from docs/format.md in numpy and Python integers: no torch, no constriction, no product code.

It says what the format is, independently of any library's version; it is slow, and it is no example of how to be fast.

    python -m reference model.safetensors photo.vae [photo.png]      (in tests/)

    container   bytes to header, chunks and payload
    model       the model file, its fingerprint
    ans         stored counts to cumulative frequencies; the stack; groups of symbols
    prior       what the prior says about each symbol, in integers
    decoder     from bytes to latents
    pixels      from latents to the picture, in floating point
"""
