"""`from vaecodec.ray import Compress`: the codec for Ray Data; see `plugins.ray_data`."""

from vaecodec.plugins.ray_data import *  # noqa: F403
