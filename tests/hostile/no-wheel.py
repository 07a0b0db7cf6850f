"""Makes something that is no wheel."""


def build_wheel(directory, config_settings=None, metadata_directory=None):
    name = write_wheel(directory, {"none.py": ""})
    os.rename(os.path.join(directory, name), os.path.join(directory, "wheel.txt"))
    return "wheel.txt"
