"""Makes a wheel of another version."""


def build_wheel(directory, config_settings=None, metadata_directory=None):
    global VERSION
    VERSION = "9999"
    return write_wheel(directory, {"other.py": ""})
