"""Prints 24 MiB in one line, and tries to control the terminal."""


def build_wheel(directory, config_settings=None, metadata_directory=None):
    line = "\x1b]0;owned\x07\x1b[2J" + "A" * (1 << 20)
    for _ in range(24):
        sys.stdout.write(line)
    sys.stdout.flush()
    sys.exit(3)
