"""`vaecodec`, `python -m vaecodec`, and so `torchrun -m vaecodec train ...`."""

import gc
import sys
from importlib.machinery import PathFinder
from types import ModuleType


class _Late(ModuleType):
    """A module that is imported when something in it is first asked for."""

    def __init__(self, name: str):
        super().__init__(name)
        self.__spec__ = PathFinder.find_spec(name)
        sys.modules[name] = self

    def __getattr__(self, name: str) -> object:
        self.__class__ = ModuleType  # type: ignore[assignment]
        self.__file__ = self.__spec__.origin  # type: ignore[union-attr]
        self.__spec__.loader.exec_module(self)  # type: ignore[union-attr]
        return getattr(self, name)


def main() -> None:
    """The command line; who interrupts it before it is there gets no traceback either."""
    try:
        if "inspect" not in sys.modules:
            _Late("inspect")  # `dataclasses` and click import it for what they hardly do; it takes as long as they
        from vaecodec.cli import light

        if not light.answered(sys.argv[1:]):
            from vaecodec.cli.main import main as command_line

            command_line()
    except KeyboardInterrupt:
        sys.exit(130)
    finally:
        gc.freeze()  # or the interpreter, as it ends, looks for garbage in all of torch, for most of a second


if __name__ == "__main__":
    main()
