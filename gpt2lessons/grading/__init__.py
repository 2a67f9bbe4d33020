"""The grader of the problem sets: nbgrader with each submission's code in a sandbox of its own.

May import: `toy`, `scoring` and `loading`, for the reports of a class; nbgrader where it is used (the extra `grading`).
Begin with `grade` (the command), then `isolation` (nbgrader's steps), `supervisor` and `sandbox`; `inside` is sealed in.
"""
