"""What those who make the course run: notebooks executed and inspected, the index, the site, publishing, benchmarks.

May import everything but `widgets` and `checks`; nothing imports it but the command line. Begin with `notebooks`.
"""
