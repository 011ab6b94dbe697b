"""Models are loaded from safetensors, an adapter or a .gguf file; nothing that comes with one is run."""

import json
import shutil

import numpy as np
import pytest
import torch
from peft import LoraConfig, get_peft_model
from transformers import AutoTokenizer, LlamaConfig, LlamaForCausalLM

from mldata.errors import InputError
from mldata_train.models import load_model, load_tokenizer
from tests.train.conftest import CHAT, make_tiny_model

IDS = torch.arange(6, 30)[None]


def logits(model):
    with torch.no_grad():
        return model.eval()(IDS).logits


def test_weights_are_float32_unless_asked_otherwise(tiny_model):
    assert {weight.dtype for weight in load_model(str(tiny_model)).parameters()} == {torch.float32}
    half = load_model(str(tiny_model), dtype=torch.bfloat16)
    assert {weight.dtype for weight in half.parameters()} == {torch.bfloat16}


@pytest.mark.parametrize("name", ["/nowhere/model", "./nowhere", "nowhere/to/go", "nowhere.gguf"])
def test_a_path_that_leads_nowhere_is_named_as_one(name):
    for load in (load_model, load_tokenizer):
        with pytest.raises(
            InputError, match=f"the model {name} can't be loaded: no file or directory is there"
        ):
            load(name)


def test_what_is_no_model_is_one_sentence(tmp_path, tiny_model):
    (tmp_path / "notes").mkdir()
    (tmp_path / "notes" / "config.json").write_text("{}", "utf-8")
    shutil.copytree(tiny_model, tmp_path / "torn")
    whole = (tmp_path / "torn" / "model.safetensors").read_bytes()
    (tmp_path / "torn" / "model.safetensors").write_bytes(whole[: len(whole) // 2])
    for name in ("notes", "torn"):
        with pytest.raises(InputError, match=f"the model {tmp_path / name} can't be loaded") as refused:
            load_model(str(tmp_path / name))
        assert "\n" not in str(refused.value)
    with pytest.raises(InputError, match=r"the tokenizer of .*notes can't be loaded"):
        load_tokenizer(str(tmp_path / "notes"))


def test_pickled_weights_are_refused_and_never_read(tiny_model, tmp_path):
    class Trap:
        def __reduce__(self):
            return (open, (str(tmp_path / "sprung"), "w"))

    shutil.copytree(tiny_model, tmp_path / "model")
    (tmp_path / "model" / "model.safetensors").unlink()
    torch.save({"lm_head.weight": Trap()}, tmp_path / "model" / "pytorch_model.bin")
    with pytest.raises(InputError, match="can't be loaded"):
        load_model(str(tmp_path / "model"))
    assert not (tmp_path / "sprung").exists()


def test_code_that_comes_with_a_model_is_not_run(tiny_model, tmp_path):
    shutil.copytree(tiny_model, tmp_path / "model")
    code = f"open({str(tmp_path / 'run')!r}, 'w')\nclass Trap: pass\n"
    (tmp_path / "model" / "trap.py").write_text(code, "utf-8")
    for file, classes in (
        ("config.json", {"AutoConfig": "trap.Trap", "AutoModelForCausalLM": "trap.Trap"}),
        ("tokenizer_config.json", {"AutoTokenizer": [None, "trap.Trap"]}),
    ):
        path = tmp_path / "model" / file
        facts = json.loads(path.read_text("utf-8")) | {"auto_map": classes}
        if file == "config.json":
            facts["model_type"] = "trap"
        path.write_text(json.dumps(facts), "utf-8")
    with pytest.raises(InputError, match="can't be loaded"):
        load_model(str(tmp_path / "model"))
    load_tokenizer(str(tmp_path / "model"))  # one of transformers' own classes does
    assert not (tmp_path / "run").exists()


def test_an_adapter_is_merged_into_its_base(tiny_model, tmp_path):
    base = load_model(str(tiny_model))
    adapted = get_peft_model(
        base, LoraConfig(r=4, target_modules="all-linear", task_type="CAUSAL_LM", init_lora_weights=False)
    )
    adapted.save_pretrained(tmp_path / "adapter")
    found = load_model(str(tmp_path / "adapter"))
    assert type(found) is LlamaForCausalLM
    assert not any("lora" in name for name, _ in found.named_parameters())
    torch.testing.assert_close(logits(found), logits(adapted), atol=1e-5, rtol=1e-4)
    assert not torch.allclose(logits(found), logits(load_model(str(tiny_model))), atol=1e-2)
    path = tmp_path / "adapter" / "adapter_config.json"
    path.write_text(
        json.dumps(json.loads(path.read_text("utf-8")) | {"base_model_name_or_path": None}), "utf-8"
    )
    with pytest.raises(InputError, match=r"doesn't say which model it belongs to"):
        load_model(str(tmp_path / "adapter"))


def test_a_tokenizer_has_a_pad_token_and_the_template_that_is_given(tiny_model, tmp_path):
    bare = make_tiny_model(tmp_path / "bare", chat=False)
    config = bare / "tokenizer_config.json"
    facts = json.loads(config.read_text("utf-8"))
    del facts["pad_token"]
    config.write_text(json.dumps(facts), "utf-8")
    found = load_tokenizer(str(bare))
    assert found.pad_token == found.eos_token == "<eos>"
    with pytest.raises(InputError, match="has no chat template: give one with --chat-template FILE"):
        load_tokenizer(str(bare), chat=True)
    (tmp_path / "chat.jinja").write_text(CHAT, "utf-8")
    found = load_tokenizer(str(bare), chat=True, chat_template=tmp_path / "chat.jinja")
    talk = [{"role": "user", "content": "How much"}]
    assert found.apply_chat_template(talk, tokenize=False) == "<|user|> How much <eos> "
    (tmp_path / "chat.jinja").write_bytes(b"\xff\xfe")
    with pytest.raises(InputError, match=r"chat\.jinja can't be read"):
        load_tokenizer(str(bare), chat_template=tmp_path / "chat.jinja")


def write_gguf(path, model, words):
    """A Llama of plain float32 weights as llama.cpp stores it: the rows of its rotary halves interleaved."""
    gguf = pytest.importorskip("gguf")
    config, weights = model.config, model.state_dict()
    writer = gguf.GGUFWriter(path, "llama")
    writer.add_block_count(config.num_hidden_layers)
    writer.add_context_length(config.max_position_embeddings)
    writer.add_embedding_length(config.hidden_size)
    writer.add_feed_forward_length(config.intermediate_size)
    writer.add_head_count(config.num_attention_heads)
    writer.add_head_count_kv(config.num_key_value_heads)
    writer.add_layer_norm_rms_eps(config.rms_norm_eps)
    writer.add_rope_freq_base(10000.0)
    writer.add_rope_dimension_count(config.hidden_size // config.num_attention_heads)
    writer.add_vocab_size(config.vocab_size)
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre("default")
    writer.add_token_list(words)
    writer.add_token_types([gguf.TokenType.CONTROL] * 2 + [gguf.TokenType.NORMAL] * (len(words) - 2))
    writer.add_token_merges(["a b", "ab c"])
    writer.add_eos_token_id(1)
    writer.add_pad_token_id(0)
    names = {"model.embed_tokens": "token_embd", "model.norm": "output_norm", "lm_head": "output"}
    parts = {
        "self_attn.q_proj": "attn_q",
        "self_attn.k_proj": "attn_k",
        "self_attn.v_proj": "attn_v",
        "self_attn.o_proj": "attn_output",
        "mlp.gate_proj": "ffn_gate",
        "mlp.up_proj": "ffn_up",
        "mlp.down_proj": "ffn_down",
        "input_layernorm": "attn_norm",
        "post_attention_layernorm": "ffn_norm",
    }
    for layer in range(config.num_hidden_layers):
        names |= {f"model.layers.{layer}.{ours}": f"blk.{layer}.{theirs}" for ours, theirs in parts.items()}
    for ours, theirs in names.items():
        weight = weights[f"{ours}.weight"].numpy()
        if ours.endswith(("q_proj", "k_proj")):
            halves = weight.reshape(config.num_attention_heads, 2, -1, weight.shape[1])
            weight = halves.swapaxes(1, 2).reshape(weight.shape)
        writer.add_tensor(f"{theirs}.weight", np.ascontiguousarray(weight))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def test_a_gguf_file_gives_the_weights_it_was_made_of_and_can_be_saved(tmp_path):
    words = ["<pad>", "<eos>", *"abcdefghijklmnopqrstuvwxyz", "ab", "abc", "Ġ"]
    torch.manual_seed(1)
    model = LlamaForCausalLM(
        LlamaConfig(
            vocab_size=len(words),
            hidden_size=32,
            intermediate_size=64,
            num_hidden_layers=2,
            num_attention_heads=4,
            num_key_value_heads=4,
            max_position_embeddings=128,
        )
    )
    write_gguf(tmp_path / "tiny.gguf", model, words)
    found = load_model(str(tmp_path / "tiny.gguf"))
    assert {weight.dtype for weight in found.parameters()} == {torch.float32}
    torch.testing.assert_close(logits(found), logits(model), atol=1e-5, rtol=1e-5)
    tokenizer = load_tokenizer(str(tmp_path / "tiny.gguf"))
    assert tokenizer("abc")["input_ids"] == [words.index("abc")]
    found.save_pretrained(tmp_path / "saved")
    tokenizer.save_pretrained(tmp_path / "saved")
    again = load_model(str(tmp_path / "saved"))
    assert torch.equal(logits(again), logits(found))
    assert AutoTokenizer.from_pretrained(tmp_path / "saved").eos_token == "<eos>"
