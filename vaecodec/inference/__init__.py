"""What the encoder does beyond one pass: levels of effort, symbols by gradient, descent, targets.

In come a picture and its latents; out go better latents and how to choose their symbols. The decoder knows none of it.
"""
