"""Means no harm: built in the same run as the others."""


def build_wheel(directory, config_settings=None, metadata_directory=None):
    return write_wheel(directory, {"honest.py": ""})
