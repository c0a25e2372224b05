"""What the programs share. Nothing here imports one of them."""
