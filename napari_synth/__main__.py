"""``python -m napari_synth``: the command line where the program ``napari-synth`` is not on the path."""

from __future__ import annotations

import sys

from napari_synth.cli import main

if __name__ == "__main__":
    sys.exit(main())
