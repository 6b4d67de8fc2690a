"""``python -m fullconv``."""

from fullconv.cli.main import main

main()
