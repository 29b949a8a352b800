"""What comes from transformers and peft, as far as a type can say it: what a model has depends on its family, and
libraries find it by name when they run. Who takes one of these says in its docstring what it asks of it.
"""

from __future__ import annotations

from typing import Any

Model = Any  # a module with a config, plain, quantised or with peft's adapters; also a layer of one
Processor = Any  # of images and text, with a `tokenizer`
Tokenizer = Any
