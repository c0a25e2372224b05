"""A second decoder, written from docs/format.md in numpy and Python integers alone.

No torch, no constriction, no product code: it says what the format is, whatever any library's version does. What is
held without loss Pillow reads, as in the product. It is slow.

    python -m reference model.safetensors photo.vae [photo.png]      (in tests/)

    container   bytes to header, chunks and payload
    model       the model file, its ids and fingerprint
    ans         stored counts to cumulative frequencies; the stack; groups of symbols
    prior       what the prior says about each symbol, in integers
    decoder     from bytes to latents
    pixels      from latents to the picture, in floating point
    exact       what is held without loss, by Pillow's WebP and PNG
"""
