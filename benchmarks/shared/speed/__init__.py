"""Time and memory: how they are measured, and what is said of them."""
