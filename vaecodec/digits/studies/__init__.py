"""What the lecture shows with a trained model: what it generates, what its bound leaves open, labels, maps, lines."""
