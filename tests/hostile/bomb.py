"""Comes with a file that unpacks to all the memory that its build has."""


def build_wheel(directory, config_settings=None, metadata_directory=None):
    return write_wheel(directory, {"bomb.py": ""})
