"""All that pyproject.toml says, and one thing that it cannot: `pip install -e .` lays the data files too.

setuptools asks a distribution for `has_data` before it lays them for an editable installation, a name that it gives to
no distribution (as of version 84); for a wheel it asks for `has_data_files`.
"""

from setuptools import Distribution, setup

Distribution.has_data = Distribution.has_data_files
setup()
