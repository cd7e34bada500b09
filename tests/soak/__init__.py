"""Random rounds of all jobs on real servers, held against the oracle cell by cell: `make soak`."""
