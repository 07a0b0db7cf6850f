"""Makes a wheel of another project."""


def build_wheel(directory, config_settings=None, metadata_directory=None):
    global NAME
    NAME = "requests"
    return write_wheel(directory, {"other.py": ""})
