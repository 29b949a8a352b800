"""The processor of any image-text-to-text model, also where its stock class cannot be built.

The stock processors of Qwen-VL and SmolVLM hold a video processor, which needs torchvision (and, for SmolVLM,
num2words). DermIQ reads images only: where the stock class fails, a subclass without the video part takes its place.
The library finds a processor's parts in the signature of `__init__`, so leaving one out there is enough.
"""

from __future__ import annotations

from typing import Any

from transformers import AutoProcessor, ProcessorMixin, Qwen2_5_VLProcessor, Qwen2VLProcessor, Qwen3VLProcessor
from transformers.models.smolvlm.processing_smolvlm import SmolVLMProcessor

from dermiq.types import Json
from dermiq.vlm.hub import Processor, Tokenizer


def _without_video(stock: Any) -> Any:
    class ImageOnly(stock):  # type: ignore[misc]  # which of the stock classes is known when it runs
        def __init__(
            self,
            image_processor: Processor = None,
            tokenizer: Tokenizer = None,
            chat_template: str | None = None,
            **kwargs: Any,
        ) -> None:
            super().__init__(image_processor, tokenizer, None, chat_template=chat_template, **kwargs)

    return ImageOnly


class ImageOnlySmolVLMProcessor(SmolVLMProcessor):
    def __init__(
        self,
        image_processor: Processor = None,
        tokenizer: Tokenizer = None,
        image_seq_len: int = 169,
        chat_template: str | None = None,
        **kwargs: Any,
    ) -> None:
        self.fake_image_token = getattr(tokenizer, "fake_image_token", "<fake_token_around_image>")
        self.image_token = getattr(tokenizer, "image_token", "<image>")
        self.image_token_id = tokenizer.convert_tokens_to_ids(self.image_token)
        self.end_of_utterance_token = getattr(tokenizer, "end_of_utterance_token", "<end_of_utterance>")
        self.global_image_token = getattr(tokenizer, "global_image_token", "<global-img>")
        self.video_token = getattr(tokenizer, "video_token", "<video>")
        self.image_seq_len = image_seq_len
        # past the stock __init__, which insists on num2words, a package that only its video prompts use
        ProcessorMixin.__init__(self, image_processor, tokenizer, chat_template=chat_template, **kwargs)

    def apply_chat_template(  # type: ignore[override]  # the rest goes on as it came
        self, conversation: list[Json], chat_template: str | None = None, **kwargs: Any
    ) -> Any:
        # the stock method asks the video processor for its frame rate
        return ProcessorMixin.apply_chat_template(self, conversation, chat_template, **kwargs)


IMAGE_ONLY: dict[str, type[ProcessorMixin]] = {
    "qwen2_vl": _without_video(Qwen2VLProcessor),
    "qwen2_5_vl": _without_video(Qwen2_5_VLProcessor),
    "qwen3_vl": _without_video(Qwen3VLProcessor),
    "smolvlm": ImageOnlySmolVLMProcessor,
}
for _class in IMAGE_ONLY.values():
    _class.__name__ = _class.__base__.__name__  # type: ignore[union-attr]  # saved under the stock name, for other machines


def load_processor(name: str, model_type: str, **kwargs: Any) -> Processor:
    """The stock processor where it can be built, else the image-only one of `model_type`."""
    if model_type not in IMAGE_ONLY:
        return AutoProcessor.from_pretrained(name, **kwargs)
    try:
        return AutoProcessor.from_pretrained(name, **kwargs)
    except (
        ImportError,
        OSError,
        ValueError,
        TypeError,
    ):  # torchvision or num2words missing, or saved without its video part
        return IMAGE_ONLY[model_type].from_pretrained(name, **kwargs)
