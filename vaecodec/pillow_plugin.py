"""`import vaecodec.pillow_plugin` makes `.vae` a format that Pillow opens and saves; see `plugins.pillow`."""

from vaecodec.plugins.pillow import *  # noqa: F403
