"""Where things lie in the repository."""

from __future__ import annotations

from pathlib import Path

ROOT = Path(__file__).parents[2]
RESULTS = ROOT / "benchmarks" / "results"
PUBLISHED = ROOT / "benchmarks" / "published.json"
"""Curves of others, and their sources."""
PRETRAINED = ROOT / "pretrained"
BASELINES = PRETRAINED / "baselines"
PHOTO = ROOT / "docs" / "photo" / "coffee.png"
