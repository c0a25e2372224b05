"""Pictures: Pillow images to planes and back, regions and scales, tiles, measures, contact sheets.

In come files and images as people have them; out go uint8 planes with alpha and metadata beside them, and back.
"""
