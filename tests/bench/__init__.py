"""The benchmark (`make bench`): what it takes to get the same figures, side by side in one run, on real servers."""
