"""Waits for ever, and for no signal."""

import signal


def build_wheel(directory, config_settings=None, metadata_directory=None):
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    print("waiting for nothing", flush=True)
    time.sleep(10**6)
