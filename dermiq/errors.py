"""What can go wrong, as one small tree.

    DermIQError
    ├── InputError       the visitor's file, text or option cannot be used
    │   └── ImageError   ... an image in particular
    ├── ModelError       a model cannot be loaded or run
    ├── DownloadError    a download failed or arrived damaged
    ├── KnowledgeError   the graph's files are missing or contradict their schema
    └── DataError        a training or evaluation table cannot be used

`str(error)` is what a visitor may read: one sentence that says what was wrong and
what to do. `detail` is for the log only.
"""


class DermIQError(Exception):
    """The root of the tree."""

    def __init__(self, message: str, *, detail: str = "") -> None:
        super().__init__(message)
        self.detail = detail


class InputError(DermIQError):
    """The visitor's input cannot be used."""


class ImageError(InputError):
    """An image cannot be used."""


class ModelError(DermIQError):
    """A model cannot be loaded or run."""


class DownloadError(DermIQError):
    """A download failed or arrived damaged."""


class KnowledgeError(DermIQError):
    """The graph's files are missing or contradict their schema."""


class DataError(DermIQError):
    """A training or evaluation table cannot be used."""


_NO_MEMORY = ("out of memory", "can't allocate memory", "bad allocation", "failed to allocate memory")


def ran_out_of_memory(error: BaseException) -> bool:
    """Whether memory, or that of the GPU, was not enough: PyTorch and ONNX Runtime say so in words."""
    text = str(error).lower()
    return isinstance(error, MemoryError) or any(words in text for words in _NO_MEMORY)
