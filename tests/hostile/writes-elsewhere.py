"""Writes 10 GiB where it may write beside its work directory."""


def build_wheel(directory, config_settings=None, metadata_directory=None):
    for place in ("/tmp/much", "/dev/shm/much"):
        try:
            with open(place, "wb") as file:
                for _ in range(10 << 10):
                    file.write(bytes(1 << 20))
            sys.exit("there was room for 10 GiB in " + place)
        except OSError as error:
            print(place, error.strerror)
            os.unlink(place)
    sys.exit("both are full")
