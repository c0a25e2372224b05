"""A step as one CUDA graph: recorded once, then replayed with a single launch."""

from __future__ import annotations

import sys
from collections.abc import Callable

import torch

WARM_UP = 3
"""Steps before one is recorded, in which libraries choose their algorithms and states come to be."""


class Replayed:
    """Calls a function again and again, from a recording where that can be.

    The function takes and gives nothing, works on tensors that stay where they are, and reads nothing back.

    Args:
        enabled: try to record.

    Attributes:
        graph: the recording, if there is one.
    """

    def __init__(self, function: Callable[[], None], device: torch.device, *, enabled: bool):
        self.function, self.device, self.enabled = function, device, enabled
        self.graph: torch.cuda.CUDAGraph | None = None
        self.calls = 0

    def forget(self) -> None:
        """The function works on other tensors from now on."""
        self.graph, self.calls = None, 0

    def __call__(self) -> None:
        if self.enabled and self.graph is None and self.calls >= WARM_UP:
            self._record()
        if self.graph is None:
            self.function()
        else:
            self.graph.replay()
        self.calls += 1

    def _record(self) -> None:
        try:
            graph = torch.cuda.CUDAGraph()
            stream = torch.cuda.current_stream(self.device)
            with torch.cuda.graph(graph, stream=stream if stream.cuda_stream else None):
                self.function()
            self.graph = graph
        except Exception as error:  # whatever it is, steps work without
            self.enabled = False
            reason = (str(error).splitlines() or [type(error).__name__])[0]
            print(f"no CUDA graph, steps go on without: {reason}", file=sys.stderr, flush=True)
            if self.device.type == "cuda":
                _renew_noise(self.device)


def _renew_noise(device: torch.device) -> None:
    """Gives a device's random numbers a new state; a recording that failed may leave the old one to its own."""
    fresh = torch.Generator(device)
    fresh.manual_seed(torch.initial_seed() % 2**63)
    torch.cuda.default_generators[device.index or 0].graphsafe_set_state(fresh.graphsafe_get_state())
