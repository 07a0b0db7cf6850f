"""Writes 10 GiB."""


def build_wheel(directory, config_settings=None, metadata_directory=None):
    block = bytes(1 << 20)
    with open("/build/much", "wb") as file:
        for _ in range(10 << 10):
            file.write(block)
