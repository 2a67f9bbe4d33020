"""The grader of the problem sets: nbgrader with each submission's code in a sandbox of its own.

May import: `loading`, `scoring`, `decoding`, `toy` (for a class's reports), nbgrader and psutil (the extra `grading`).
Begin with `grade` (the command), then `isolation` (nbgrader's steps), `supervisor`, `sandbox`; `inside` is shut in.
"""
