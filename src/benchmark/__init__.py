"""Speed of trainings, each in a process of its own."""
