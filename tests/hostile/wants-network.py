"""Looks for a network: an address, the index that it came from, a name."""

import socket, urllib.request


def build_wheel(directory, config_settings=None, metadata_directory=None):
    for address in (("192.0.2.1", 80), ("127.0.0.1", INDEX_PORT)):
        try:
            socket.create_connection(address, timeout=3)
            print("reached", address)
        except OSError as error:
            print("not reached:", address, error)
    try:
        urllib.request.urlopen("http://example.org/", timeout=3)
        print("reached by name")
    except OSError as error:
        sys.exit("by name: %s" % error)
