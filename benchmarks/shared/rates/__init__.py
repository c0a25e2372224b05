"""Rate against distortion: how codecs are measured, and their curves in tables and pictures."""
