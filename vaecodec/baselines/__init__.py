"""Other codecs behind one small interface, to measure this one against. Nothing that decodes imports this.

In come pictures and a setting; out go bytes, and pictures again.
"""
