"""Loading by name: every family, adapters, 4-bit, and a clear sentence for everything that goes wrong."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import AutoConfig, LlamaConfig, LlamaForCausalLM

from dermiq.errors import DownloadError, ModelError
from dermiq.vlm import load
from dermiq.vlm.load import load_vlm
from tests.tiny import FAMILIES, picture, save_tiny, tiny, tokenizer_for

pytestmark = pytest.mark.filterwarnings("ignore:.is_gradient_checkpointing. is deprecated:FutureWarning")  # peft

ASK = [{"role": "user", "content": "What is this lesion?"}]


def text_of(vlm: Any) -> str:
    return str(vlm.session([picture()]).generate(ASK, max_new_tokens=10))


def save_adapter(family: str, folder: Path, *, target: str = "q_proj") -> Any:
    """A LoRA that changes the text; the adapted model is returned."""
    from peft import LoraConfig, get_peft_model

    config = LoraConfig(r=2, target_modules=rf".*(language_model|text_model).*\.{target}")
    model = get_peft_model(tiny(family)[0], config)
    torch.manual_seed(1)
    for name, parameter in model.named_parameters():
        if "lora_B" in name:
            torch.nn.init.normal_(parameter)
    model.save_pretrained(str(folder))
    return model.eval()


@pytest.mark.parametrize("family", [*FAMILIES, "nano"])
def test_a_folder_loads(family: str, tmp_path: Path) -> None:
    stages: list[str] = []
    vlm = load_vlm(str(save_tiny(family, tmp_path)), progress=lambda stage, fraction: stages.append(stage))
    model, processor = tiny(family)
    expected = load.VLM(model, processor, name="built", revision="test")
    assert text_of(vlm) == text_of(expected)
    assert (vlm.device, vlm.model.dtype, len(vlm.revision)) == ("cpu", torch.float32, 12)
    assert stages[0] == "loading"
    assert stages[-1] == "ready"


@pytest.mark.parametrize("family", ["smolvlm", "qwen2_5_vl"])
def test_with_torchvision_the_stock_processor_is_used(family: str, tmp_path: Path) -> None:
    pytest.importorskip("torchvision")
    if family == "smolvlm":
        pytest.importorskip("num2words")
    assert text_of(load_vlm(str(save_tiny(family, tmp_path))))


def test_revision_follows_the_weights(tmp_path: Path) -> None:
    first = load_vlm(str(save_tiny("llava", tmp_path / "a"))).revision
    assert load_vlm(str(save_tiny("llava", tmp_path / "b"))).revision == first
    assert load_vlm(str(save_tiny("llava", tmp_path / "c", seed=1))).revision != first


def test_precision_is_chosen(tmp_path: Path) -> None:
    vlm = load_vlm(str(save_tiny("llava", tmp_path)), dtype="bfloat16")
    assert vlm.model.dtype is torch.bfloat16
    assert not vlm.is_fast
    assert vlm.session([picture()]).generate(ASK, max_new_tokens=2) is not None


@pytest.mark.parametrize("family", ["llava", "qwen2_5_vl"])
def test_an_adapter_is_merged(family: str, tmp_path: Path) -> None:
    base = save_tiny(family, tmp_path / "base")
    adapted = save_adapter(family, tmp_path / "adapter")
    vlm = load_vlm(str(base), adapter=str(tmp_path / "adapter"), fast=False)
    assert not any("lora" in name for name, _ in vlm.model.named_parameters())
    quick = load_vlm(str(base), adapter=str(tmp_path / "adapter"))
    assert text_of(quick) == text_of(vlm)
    inputs = vlm.encoder.encode(ASK, [picture()]).inputs
    with torch.no_grad():
        expected = adapted(**inputs).logits
        torch.testing.assert_close(vlm.model(**inputs).logits, expected, atol=1e-3, rtol=1e-3)
    assert vlm.revision != load_vlm(str(base)).revision


def test_a_folder_with_an_adapter_alone_names_its_base(tmp_path: Path) -> None:
    base = save_tiny("llava", tmp_path / "base")
    save_adapter("llava", tmp_path / "adapter")
    path = tmp_path / "adapter" / "adapter_config.json"
    config = json.loads(path.read_text())
    path.write_text(json.dumps(config | {"base_model_name_or_path": str(base)}))
    both = load_vlm(str(base), adapter=str(tmp_path / "adapter"))
    assert text_of(load_vlm(str(tmp_path / "adapter"))) == text_of(both)
    path.write_text(json.dumps(config | {"base_model_name_or_path": None}))
    with pytest.raises(ModelError, match="does not say which model"):
        load_vlm(str(tmp_path / "adapter"))


def test_an_adapter_of_another_model_is_refused(tmp_path: Path) -> None:
    base = save_tiny("idefics3", tmp_path / "base")
    save_adapter("llava", tmp_path / "adapter")
    with pytest.raises(ModelError, match="does not fit this model"):
        load_vlm(str(base), adapter=str(tmp_path / "adapter"))


def test_a_run_means_its_final_checkpoint(tmp_path: Path) -> None:
    save_tiny("llava", tmp_path / "final")
    with pytest.raises(ModelError, match="has not finished"):
        load_vlm(str(tmp_path))
    (tmp_path / "final" / "manifest.json").write_text("{}")
    assert text_of(load_vlm(str(tmp_path)))


def test_a_run_that_is_not_there_is_named_as_such(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The hub is not blamed for a wrong path; what lies near is listed."""
    root = tmp_path / "runs"
    for name in ("sft-first", "grpo-second"):
        (root / name).mkdir(parents=True)
        (root / name / "config.json").write_text("{}")
    (root / "sft-first" / "status.json").write_text("{}")
    monkeypatch.setenv("DERMIQ_RUNS", str(root))
    monkeypatch.chdir(tmp_path)
    for missing in ("runs/sft-frist", "./runs/sft-frist", str(root / "sft-frist"), "sft-frist"):
        with pytest.raises(ModelError, match=r"There is no run and no model folder .*sft-frist.*there are sft-first\."):
            load_vlm(missing)
    for missing, said in (
        ("runs/zzz", "there are .*grpo-second"),
        ("elsewhere/deeper/zzz", "There is no folder"),
        ("runs/sft-first", "has no result"),
        ("runs/sft-first/config.json", "is a file"),
        ("runs", "holds no model.*sft-first"),
    ):
        with pytest.raises(ModelError, match=said) as caught:
            load_vlm(missing)
        assert "hub" not in str(caught.value)
    save_tiny("llava", root / "done" / "final")
    (root / "done" / "final" / "manifest.json").write_text("{}")
    assert load_vlm("done").name.endswith("final")


@pytest.mark.parametrize("family", ["llava", "qwen2_5_vl"])
def test_four_bit_keeps_the_eyes_precise(family: str, tmp_path: Path) -> None:
    bitsandbytes = pytest.importorskip("bitsandbytes")
    vlm = load_vlm(str(save_tiny(family, tmp_path)), load_in_4bit=True)
    kinds = {name: type(module) for name, module in vlm.model.named_modules()}
    packed = {name for name, kind in kinds.items() if kind is bitsandbytes.nn.Linear4bit}
    assert packed
    assert all("language_model" in name for name in packed)
    assert vlm.session([picture()]).generate(ASK, max_new_tokens=4) is not None


def test_four_bit_without_bitsandbytes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(ModelError, match="pip install bitsandbytes"):
        load_vlm(str(save_tiny("llava", tmp_path)), load_in_4bit=True)


def test_a_text_model_is_refused(tmp_path: Path) -> None:
    tokenizer = tokenizer_for("llava")
    config = LlamaConfig(
        vocab_size=len(tokenizer), hidden_size=16, intermediate_size=16, num_hidden_layers=1, num_attention_heads=2
    )
    LlamaForCausalLM(config).save_pretrained(tmp_path)
    with pytest.raises(ModelError, match="does not turn images and text into text"):
        load_vlm(str(tmp_path))


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (OSError("nobody/x is not a local folder and is not a valid model identifier"), "Check the spelling"),
        (OSError("We couldn't connect to 'the hub' to load the files"), "cannot be reached"),
        (OSError("We couldn't connect to http://127.0.0.1:40149"), "cannot be reached"),
        (OSError("You are trying to access a gated repo."), "gated"),
        (ValueError("Transformers does not recognize this architecture"), "newer transformers"),
        (RuntimeError("CUDA out of memory"), "does not fit into memory"),
        (ImportError("needs timm", name="timm"), "timm"),
        (RuntimeError("something else"), "The log has the details"),
    ],
)
def test_failures_become_one_sentence(monkeypatch: pytest.MonkeyPatch, error: Exception, said: str) -> None:
    def fail(*_: Any, **__: Any) -> None:
        raise error

    monkeypatch.setattr(AutoConfig, "from_pretrained", fail)
    with pytest.raises(ModelError, match=said) as caught:
        load_vlm("nobody/nothing")
    assert "nobody/nothing" in str(caught.value)
    assert str(error) in caught.value.detail


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"load_in_4bit": True}, "without --load-in-4bit"),
        ({"dtype": "int3"}, "int3"),
        pytest.param(
            {"device": "cuda"}, "No GPU", marks=pytest.mark.skipif(torch.cuda.is_available(), reason="there is one")
        ),
    ],
)
def test_options_that_cannot_be(options: dict[str, Any], said: str) -> None:
    with pytest.raises(ModelError, match=said):
        load_vlm("nano", **options)


def test_a_failed_download_stays_a_download_error(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(**_: Any) -> None:
        raise DownloadError("no network")

    monkeypatch.setattr(load, "ensure_base", fail)
    with pytest.raises(DownloadError):
        load_vlm("nano")


@pytest.mark.parametrize("text", [b"{", b"[]", b"\xff{}", b""])
def test_a_damaged_adapter_is_a_sentence(tmp_path: Path, text: bytes) -> None:
    (tmp_path / "adapter_config.json").write_bytes(text)
    with pytest.raises(ModelError):
        load_vlm(str(tmp_path))
