"""What each level of `--effort` does, in one table. Imports no torch."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True)
class Effort:
    """A level.

    Attributes:
        optimised: symbols are weighed by their code lengths (`rounding.rdo_round`), not only rounded to the nearest.
        choices: how often they are moved by the gradient of the distortion before (`gradient_choice.choose`).
        steps: of descent on the bound, at most (`latent_descent.refine`), which begins near those symbols.
        both_codings: hyperlatents are coded both ways, and the smaller file is taken, unless one is asked for.
        compared: with what level 0 makes, always; or else only in doubt, see `codec.encoder`.
    """

    optimised: bool = False
    choices: int = 0
    steps: int = 0
    both_codings: bool = True
    compared: bool = True

    @property
    def improves(self) -> bool:
        """Whether latents are improved, and not only rounded in a better way."""
        return self.choices > 0 or self.steps > 0


_SQUARES = (
    Effort(both_codings=False),
    Effort(optimised=True, both_codings=False, compared=False),
    Effort(optimised=True, choices=1, both_codings=False),
    Effort(optimised=True, choices=4),
    Effort(optimised=True, choices=4, steps=16),
    Effort(optimised=True, choices=4, steps=20),
    Effort(optimised=True, choices=4, steps=25),
    Effort(optimised=True, choices=4, steps=32),
    Effort(optimised=True, choices=4, steps=40),
    Effort(optimised=True, choices=4, steps=50),
)
_LOOKS = (
    Effort(both_codings=False),
    Effort(optimised=True, both_codings=False),
    Effort(optimised=True, choices=1, both_codings=False),
    *(Effort(optimised=True, choices=choices) for choices in (2, 3, 4, 6, 8, 11, 16)),
)
EFFORTS = {"mse": _SQUARES, "looks": _LOOKS}
"""For what a model is trained for, its levels. Descent expands squared error; for looks many gradients do as well."""
LEVELS = 10
DEFAULT_EFFORT = 2
SHOWN_FROM = 4
"""Levels from here on take long enough for a progress bar."""

Progress = Callable[[int, int], bool]
"""Told how many steps of how many are done; returns whether to go on. If not, the best so far is taken."""
