"""The way of an image, forwards and backwards: pixels, latents, bytes. `codec.Codec` joins the rooms below.

In come pictures and what is asked of their files; out go `.vae` files, and pictures again.
"""
