"""`vaecodec`, `python -m vaecodec`, and so `torchrun -m vaecodec train ...`."""

import sys


def main() -> None:
    """The command line; who interrupts it before it is there gets no traceback either."""
    try:
        from vaecodec.cli.main import main as command_line

        command_line()
    except KeyboardInterrupt:
        sys.exit(130)


if __name__ == "__main__":
    main()
