"""`python -m vaecodec`, and so `torchrun -m vaecodec train ...`."""

from vaecodec.cli.main import main

main()
