"""The learner's desk: a working copy of the lessons, what was solved, and pictures that stay."""
