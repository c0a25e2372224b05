"""`python -m vaecodec`, and so `torchrun -m vaecodec train ...`."""

from vaecodec.cli import main

main()
