"""The steps of a sweep: space, study, trials, choice of the winner, report."""
