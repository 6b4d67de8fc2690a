"""``fullconv`` and ``python -m fullconv``."""

import os


def main() -> None:
    """Entry point: Ctrl-C is one message, also while libraries are imported."""
    try:
        from fullconv.system.interrupt import wait_for_imports

        wait_for_imports()
        from fullconv.cli.main import main as run

        run()
    except KeyboardInterrupt:
        os.write(2, b"fullconv: stopped\n")
        os._exit(130)  # what is half imported, or runs in threads, would say more


if __name__ == "__main__":
    main()
