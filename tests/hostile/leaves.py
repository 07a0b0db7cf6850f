"""Makes a wheel with a member that leaves the directory it is unpacked to."""


def build_wheel(directory, config_settings=None, metadata_directory=None):
    return write_wheel(directory, {"../../../../../../tmp/wheelfarm-evil": "", "leaves.py": ""})
