"""What is wrong with a cloud, and what mends it: pure, from what was seen."""
