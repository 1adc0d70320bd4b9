"""The same training with several seeds: what of a result is the recipe, and what luck."""
