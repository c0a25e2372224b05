"""What is minimised: λ·d + R, the terms of the bound, what d is, and how latents are rounded for it.

In come pictures, latents and the parameters of their densities; out go bits, distortions and their sum. The one room
where λ, d and R meet, for training, for the encoder and for reports.
"""
