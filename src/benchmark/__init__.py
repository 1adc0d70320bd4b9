"""Benchmarks: speed of trainers, growth with the pairs, savings by pruning, speed of prediction."""
