"""Loads causal language models and their tokenizers. Nothing that comes with a model is executed.

A model is a directory or a hub name with safetensors weights, an adapter of such a model (merged into it), or
one .gguf file, whose weights are dequantised. Pickled weights and remote code are refused.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from mldata.errors import InputError, first_line

if TYPE_CHECKING:
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

SAFE = {"trust_remote_code": False}


def load_model(name: str, **options: Any) -> PreTrainedModel:
    """A causal language model with float32 weights, or as `options` of `from_pretrained` say.

    InputError if it isn't there or can't be loaded.
    """
    import torch

    _check_there(name)
    options = {"dtype": torch.float32, **options}
    try:
        if name.endswith(".gguf"):
            return _from_gguf(Path(name), **options)
        if (Path(name) / "adapter_config.json").is_file():
            return _with_adapter(name, **options)
        return _from_pretrained(name, **options)
    except InputError:
        raise
    except Exception as error:  # what the loaders of many formats raise is not to be listed
        raise InputError(f"the model {name} can't be loaded: {first_line(error)}") from error


def load_tokenizer(
    name: str, *, chat_template: Path | None = None, chat: bool = False
) -> PreTrainedTokenizerBase:
    """The model's tokenizer, with a pad token, and another chat template if one is given.

    InputError if it can't be loaded or, with `chat`, has no chat template.
    """
    from transformers import AutoTokenizer

    path = Path(name)
    _check_there(name)
    try:
        if name.endswith(".gguf"):
            found = AutoTokenizer.from_pretrained(path.parent, gguf_file=path.name, **SAFE)
        else:
            found = AutoTokenizer.from_pretrained(name, **SAFE)
    except Exception as error:  # as above
        raise InputError(f"the tokenizer of {name} can't be loaded: {first_line(error)}") from error
    if chat_template is not None:
        try:
            found.chat_template = chat_template.read_text("utf-8")
        except (OSError, UnicodeDecodeError) as error:
            raise InputError(f"the chat template {chat_template} can't be read: {error}") from None
    if chat and found.chat_template is None:
        raise InputError(
            f"the set's texts are conversations and {name} has no chat template: give one with "
            "--chat-template FILE (Jinja, as in `tokenizer.chat_template`), or take an instruction model"
        )
    if found.pad_token is None:
        found.pad_token = found.eos_token
    return found


def _check_there(name: str) -> None:
    """InputError for what is a path, and no name of a hub, and leads nowhere."""
    path = Path(name)
    is_path = path.is_absolute() or path.suffix == ".gguf" or name.startswith(".") or len(path.parts) > 2
    if is_path and not path.exists():
        raise InputError(f"the model {name} can't be loaded: no file or directory is there")


def _from_pretrained(name: str, **options: Any) -> PreTrainedModel:
    from transformers import AutoModelForCausalLM

    model: PreTrainedModel = AutoModelForCausalLM.from_pretrained(
        name, use_safetensors=True, **options, **SAFE
    )
    return model


def _with_adapter(name: str, **options: Any) -> PreTrainedModel:
    """The adapter's base model with the adapter merged into it."""
    from peft import PeftConfig, PeftModel

    base = PeftConfig.from_pretrained(name).base_model_name_or_path
    if not base:
        raise InputError(
            f"the adapter {name} doesn't say which model it belongs to (base_model_name_or_path)"
        )
    merged: PreTrainedModel = PeftModel.from_pretrained(load_model(base, **options), name).merge_and_unload()
    merged.config._name_or_path = name
    return merged


def _from_gguf(path: Path, **options: Any) -> PreTrainedModel:
    """A model from a .gguf file, as one that was never quantised: transformers won't save it otherwise."""
    from transformers import AutoModelForCausalLM

    packed = AutoModelForCausalLM.from_pretrained(path.parent, gguf_file=path.name, **options, **SAFE)
    facts = {key: value for key, value in packed.config.to_dict().items() if key != "quantization_config"}
    model: PreTrainedModel = AutoModelForCausalLM.from_config(  # type: ignore[no-untyped-call]
        type(packed.config).from_dict(facts), dtype=packed.dtype
    )
    model.load_state_dict(packed.state_dict(), strict=True)
    model.generation_config = packed.generation_config
    # both: the first is what an adapter notes as its base
    model.name_or_path = model.config._name_or_path = str(path)
    return model
