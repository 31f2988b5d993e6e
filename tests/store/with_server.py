"""Runs a program against a real store: `with_server.py versitygw|seaweedfs|azurite PROGRAM ARG…`.

The program's TERALITY_TEST_STORE names a fresh place there. Status 77, "skipped", where the server cannot be had.
"""

from __future__ import annotations

import os
import subprocess
import sys

import servers


def main(name: str, command: list[str]) -> int:
    try:
        with servers.STARTERS[name]() as server:
            url = "az://data/pre/fix" if name == "azurite" else "s3://data/pre/fix"
            environment = {**os.environ, **server.environment, "TERALITY_TEST_STORE": url}
            return subprocess.run(command, env=environment, check=False).returncode
    except servers.Unavailable as error:
        print(f"skipped: {error}")
        return 77


if __name__ == "__main__":
    sys.exit(main(sys.argv[1], sys.argv[2:]))
