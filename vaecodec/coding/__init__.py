"""Latents to payload and back: the order of symbols, their choice, the exact prior step by step, ANS, bits-back.

In come z and y as the encoder infers them; out go the payload and the latents that a decoder will have, and back.
"""
