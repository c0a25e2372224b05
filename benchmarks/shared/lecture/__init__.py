"""The lecture's claims, by chapter: what measures them, says them and draws them."""
