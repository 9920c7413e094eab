"""What Auto3DSeg calls: the algorithm and its inferer."""
