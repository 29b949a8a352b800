"""Written examples of people's files, for training and for the review alike: questions with an answer, or with two.

    for example in read_examples("pairs.jsonl", "pairs"):
        print(f"{example.where}: {example.fault}" if example.fault else example.columns["chosen"])

`sources` turns a file or a data set into rows, `forms` what other tools write into TRL's columns, `turns` texts and
messages into one form, `pictures` what stands for an image. Knows no `train`, no review and no page.
"""

from dermiq.files.examples.forms import Kind
from dermiq.files.examples.pictures import Held, images_of
from dermiq.files.examples.read import Example, examples_of, read_examples
from dermiq.files.examples.sources import SUFFIXES, is_data_set, is_examples_file, is_written_table
from dermiq.files.examples.turns import Turns, messages, places_of, text_of

__all__ = [
    "SUFFIXES",
    "Example",
    "Held",
    "Kind",
    "Turns",
    "examples_of",
    "images_of",
    "is_data_set",
    "is_examples_file",
    "is_written_table",
    "messages",
    "places_of",
    "read_examples",
    "text_of",
]
