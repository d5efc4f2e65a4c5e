"""How fast it is, and how that was measured: `make bench`."""
