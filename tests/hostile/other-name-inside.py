"""Makes a wheel that is of another project by its metadata directory."""


def build_wheel(directory, config_settings=None, metadata_directory=None):
    global NAME, VERSION
    mine = "%s-%s-py3-none-any.whl" % (NAME, VERSION)
    NAME, VERSION = "requests", "9999"
    name = write_wheel(directory, {"other.py": ""})
    os.rename(os.path.join(directory, name), os.path.join(directory, mine))
    return mine
