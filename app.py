"""Starts DermIQ from a checkout; a Space runs this file. It is `dermiq app` of an installed copy.

python app.py [--model NAME] [--adapter NAME] [--load-in-4bit] [--device cpu] [--host 127.0.0.1] [--port 7860]
"""

import sys

from dermiq.__main__ import main

if __name__ == "__main__":
    sys.exit(main(["app", *sys.argv[1:]]))
