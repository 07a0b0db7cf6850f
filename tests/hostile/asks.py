"""Asks for a build requirement that does not exist."""


def get_requires_for_build_wheel(config_settings=None):
    return ["a-project-that-nobody-has>=1"]


def build_wheel(directory, config_settings=None, metadata_directory=None):
    return write_wheel(directory, {"asks.py": ""})
