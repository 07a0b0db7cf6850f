"""Makes two wheels."""


def build_wheel(directory, config_settings=None, metadata_directory=None):
    write_wheel(directory, {"two.py": ""}, "py2-none-any")
    return write_wheel(directory, {"two.py": ""})
