"""What a run needs beside its mathematics: time, processes, a graph of the step, words, files."""
