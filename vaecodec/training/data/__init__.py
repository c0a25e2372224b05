"""Pictures to train on: where they come from, how they are kept, and the crops that are taken of them."""
