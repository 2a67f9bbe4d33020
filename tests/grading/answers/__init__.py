"""Answers to the graded coursework: for each question one that is right in another way, and plausible mistakes.

A mistake is (changes, message): `changes` are pairs (old, new) made to the model answer, or a whole new answer;
`message` is part of what the grader should say about it.
"""
