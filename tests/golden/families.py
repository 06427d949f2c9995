"""The tiny checkpoints of make_families.py: what each family and each of its switches is tried with.

    "gemma2": Tiny(Gemma2Config, dict(sliding_window=24, ...), off=[dict(sliding_window=4096), ...])

off: for each switch, what turns it off; make_families.py makes sure that it shows in the logits. Either a changed
configuration, or Zero/One(pattern): the tensors so named become neutral, or Half(module): rotary pairs of halves.
legacy: the names that files had before transformers 5 for what they say otherwise. A value of None takes the key away.
"""

import collections

import transformers as t

Zero = collections.namedtuple("Zero", "pattern")
One = collections.namedtuple("One", "pattern")
Half = collections.namedtuple("Half", "module")

# options: for mrs-plan build. prompts: lengths. recipe: changes to RECIPE, see tiny_checkpoint.py.
Tiny = collections.namedtuple(
    "Tiny",
    "config arguments off legacy recipe max_len prompts seed",
    defaults=((), {}, {}, 256, (3, 33, 70, 129), 1),
)

RECIPE = dict(embed=5.0, matrix=2.5, bias=0.5, norm=1.0, final_norm=1.0, norm_base=0.0)
COMMON = dict(
    vocab_size=97,
    hidden_size=48,
    intermediate_size=80,
    num_hidden_layers=3,
    num_attention_heads=4,
    num_key_value_heads=2,
    max_position_embeddings=512,
    bos_token_id=None,
    eos_token_id=None,
    pad_token_id=None,
    attention_dropout=0.0,
)
DEFAULT = {"rope_type": "default", "rope_theta": 10000.0}
SLIDE, FULL = "sliding_attention", "full_attention"
# Tied heads: small embeddings, and a last norm that makes up for it, or a token would name itself.
TIED = dict(embed=1.0, final_norm=3.0)
# A scaled embedding as well.
GEMMA = dict(embed=0.25, norm=1.5, norm_base=1.0, final_norm=10.0)


def rope(kind, theta=10000.0, **more):
    return {"rope_type": kind, "rope_theta": theta, **more}


def legacy_rope(parameters):
    """rope_parameters as rope_theta and rope_scaling."""
    scaling = {("type" if k == "rope_type" else k): v for k, v in parameters.items() if k != "rope_theta"}
    scaling = None if scaling == {"type": "default"} else scaling
    return dict(rope_parameters=None, rope_theta=parameters["rope_theta"], rope_scaling=scaling)


LINEAR = rope("linear", factor=4.0)
LLAMA3 = rope(
    "llama3", 500000.0, factor=8.0, low_freq_factor=1.0, high_freq_factor=4.0, original_max_position_embeddings=64
)
YARN = rope("yarn", factor=8.0, original_max_position_embeddings=64)
YARN_ALL = rope(
    "yarn",
    factor=8.0,
    original_max_position_embeddings=256,
    beta_fast=16.0,
    beta_slow=2.0,
    mscale=1.0,
    mscale_all_dim=0.5,
    truncate=False,
)
DYNAMIC = rope("dynamic", factor=4.0)
MINISTRAL3 = rope(
    "yarn",
    1000000.0,
    factor=16.0,
    original_max_position_embeddings=32,
    beta_fast=32.0,
    beta_slow=1.0,
    mscale=1.0,
    mscale_all_dim=1.0,
    llama_4_scaling_beta=0.5,
)
# Twelve elements of a head, three quarters of them turned: four and a half pairs become four, as int() cuts them.
LONGROPE = dict(short_factor=[1.0, 1.1, 1.3, 1.7], long_factor=[1.2, 2.0, 4.0, 7.5])


def longrope(original):
    return rope("longrope", original_max_position_embeddings=original, partial_rotary_factor=0.7, **LONGROPE)


def without(parameters, *keys):
    return dict(rope_parameters={k: v for k, v in parameters.items() if k not in keys})


GLM_ROPE = rope("default", partial_rotary_factor=0.5)
GLM_LEGACY = dict(rope_parameters=None, rope_theta=10000.0, partial_rotary_factor=0.5)
GEMMA3_ROPE = {FULL: rope("linear", 1000000.0, factor=8.0), SLIDE: rope("default", 10000.0)}
OLMO3_ROPE = {
    FULL: rope("yarn", 500000.0, factor=8.0, original_max_position_embeddings=64, attention_factor=1.3),
    SLIDE: rope("default", 500000.0),
}
STABLE_ROPE = rope("default", partial_rotary_factor=0.25)
STABLE = dict(hidden_size=64, rope_parameters=STABLE_ROPE)
STABLE_LEGACY = dict(rope_parameters=None, rope_theta=10000.0, partial_rotary_factor=0.25)

MODELS = {
    "llama_linear": Tiny(
        t.LlamaConfig, dict(rope_parameters=LINEAR), [dict(rope_parameters=DEFAULT)], legacy_rope(LINEAR)
    ),
    "llama_llama3": Tiny(
        t.LlamaConfig,
        dict(rope_parameters=LLAMA3),
        [dict(rope_parameters=rope("default", 500000.0))],
        legacy_rope(LLAMA3),
    ),
    "llama_yarn": Tiny(t.LlamaConfig, dict(rope_parameters=YARN), [dict(rope_parameters=DEFAULT)], legacy_rope(YARN)),
    "llama_yarn_mscale": Tiny(
        t.LlamaConfig,
        dict(rope_parameters=YARN_ALL),
        [without(YARN_ALL, k) for k in ("beta_fast", "beta_slow", "mscale", "truncate")],
    ),
    "llama_dynamic": Tiny(
        t.LlamaConfig,
        dict(max_position_embeddings=64, rope_parameters=DYNAMIC),
        [dict(rope_parameters=DEFAULT)],
        legacy_rope(DYNAMIC),
        prompts=(65, 70, 100, 129),
    ),
    "llama_attention_bias": Tiny(
        t.LlamaConfig, dict(attention_bias=True), [Zero(r"q_proj\.bias"), Zero(r"o_proj\.bias")]
    ),
    "llama_mlp_bias": Tiny(t.LlamaConfig, dict(mlp_bias=True), [Zero(r"gate_proj\.bias"), Zero(r"down_proj\.bias")]),
    "llama_gelu": Tiny(t.LlamaConfig, dict(hidden_act="gelu"), [dict(hidden_act="silu")]),
    "falcon3": Tiny(
        t.LlamaConfig, dict(head_dim=20, rope_parameters=rope("default", 1000042.0)), [dict(rope_parameters=DEFAULT)]
    ),
    "mistral": Tiny(
        t.MistralConfig,
        dict(head_dim=16, sliding_window=24, rope_parameters=DEFAULT),
        [dict(sliding_window=None), dict(sliding_window=23)],
        legacy_rope(DEFAULT),
    ),
    "ministral": Tiny(
        t.MinistralConfig,
        dict(head_dim=16, sliding_window=24, layer_types=[SLIDE, FULL, SLIDE]),
        [dict(layer_types=[FULL] * 3), dict(layer_types=[SLIDE] * 3), dict(sliding_window=23)],
        legacy_rope(DEFAULT),
    ),
    "ministral3": Tiny(
        t.Ministral3Config,
        dict(head_dim=16, rope_parameters=MINISTRAL3, tie_word_embeddings=True),
        [
            dict(rope_parameters={**MINISTRAL3, "llama_4_scaling_beta": 0.0}),
            dict(rope_parameters={**MINISTRAL3, "factor": 1.0}),
        ],
        legacy_rope(MINISTRAL3),
        TIED,
    ),
    "qwen2_window": Tiny(
        t.Qwen2Config,
        dict(use_sliding_window=True, sliding_window=33, max_window_layers=1),
        [dict(layer_types=[FULL] * 3), dict(layer_types=[SLIDE] * 3), Zero(r"k_proj\.bias"), Zero(r"v_proj\.bias")],
        dict(layer_types=None, **legacy_rope(DEFAULT)),
    ),
    "qwen3_window": Tiny(
        t.Qwen3Config,
        dict(
            head_dim=16,
            attention_bias=True,
            use_sliding_window=True,
            sliding_window=40,
            layer_types=[SLIDE, FULL, SLIDE],
        ),
        [dict(layer_types=[FULL] * 3), Zero("o_proj.bias"), One("q_norm"), One("k_norm")],
        legacy_rope(DEFAULT),
        dict(bias=0.2),
    ),
    "gemma": Tiny(
        t.GemmaConfig,
        dict(head_dim=16, num_key_value_heads=1, attention_bias=True, rope_parameters=DEFAULT),
        [dict(hidden_act="silu"), Zero("o_proj.bias"), Zero("layernorm")],
        dict(hidden_act="gelu", **legacy_rope(DEFAULT)),
        GEMMA,
    ),
    "gemma2": Tiny(
        t.Gemma2Config,
        dict(
            num_hidden_layers=4,
            head_dim=16,
            query_pre_attn_scalar=6,
            sliding_window=24,
            attn_logit_softcapping=2.0,
            final_logit_softcapping=4.0,
            rope_parameters=DEFAULT,
        ),
        [
            dict(attn_logit_softcapping=None),
            dict(final_logit_softcapping=None),
            dict(query_pre_attn_scalar=16),
            dict(layer_types=[FULL] * 4),
            dict(layer_types=[FULL, SLIDE] * 2),
            dict(hidden_activation="silu"),
        ]
        + [Zero(f"{n}_layernorm") for n in ("post_attention", "pre_feedforward", "post_feedforward")],
        dict(layer_types=None, **legacy_rope(DEFAULT)),
        GEMMA,
        seed=2,
    ),
    "gemma3": Tiny(
        t.Gemma3TextConfig,
        dict(
            num_hidden_layers=4,
            head_dim=16,
            query_pre_attn_scalar=6,
            sliding_window=24,
            layer_types=[SLIDE, FULL] * 2,
            rope_parameters=GEMMA3_ROPE,
        ),
        [
            dict(rope_parameters={**GEMMA3_ROPE, FULL: rope("default", 1000000.0)}),
            dict(rope_parameters={FULL: GEMMA3_ROPE[FULL], SLIDE: GEMMA3_ROPE[FULL]}),
            dict(query_pre_attn_scalar=16),
            dict(layer_types=[FULL] * 4),
            Zero("q_norm"),
            Zero("k_norm"),
            Zero("post_feedforward_layernorm"),
        ],
        dict(
            layer_types=None,
            sliding_window_pattern=2,
            rope_parameters=None,
            rope_theta=1000000.0,
            rope_local_base_freq=10000.0,
            rope_scaling={"rope_type": "linear", "factor": 8.0},
        ),
        GEMMA,
    ),
    "gemma3_caps": Tiny(
        t.Gemma3TextConfig,
        dict(head_dim=16, query_pre_attn_scalar=16, sliding_window=5, attention_bias=True, final_logit_softcapping=4.0),
        [dict(final_logit_softcapping=None), Zero("q_proj.bias"), Zero("o_proj.bias")],
        {},
        GEMMA,
    ),
    "phi3_long": Tiny(
        t.Phi3Config,
        dict(original_max_position_embeddings=32, rope_parameters=longrope(32)),
        [
            dict(rope_parameters={**longrope(32), "long_factor": LONGROPE["short_factor"]}),
            dict(rope_parameters={**longrope(32), "attention_factor": 1.0}),
        ],
        dict(
            rope_parameters=None,
            rope_theta=10000.0,
            partial_rotary_factor=0.7,
            rope_scaling={"type": "longrope", **LONGROPE},
        ),
        prompts=(33, 41, 70, 129),
    ),
    "phi3_short": Tiny(
        t.Phi3Config,
        dict(original_max_position_embeddings=200, rope_parameters=longrope(200)),
        [dict(rope_parameters={**longrope(200), "short_factor": [1.0] * 4})],
        dict(
            rope_parameters=None,
            rope_theta=10000.0,
            partial_rotary_factor=0.7,
            rope_scaling={"type": "longrope", **LONGROPE},
        ),
        max_len=200,
    ),
    "phi3_window": Tiny(t.Phi3Config, dict(sliding_window=24), [dict(sliding_window=None)]),
    "granite": Tiny(
        t.GraniteConfig,
        dict(
            embedding_multiplier=3.0,
            residual_multiplier=0.6,
            attention_multiplier=0.15,
            logits_scaling=0.5,
            rope_parameters=DEFAULT,
        ),
        [
            dict(embedding_multiplier=1.0),
            dict(residual_multiplier=1.0),
            dict(attention_multiplier=12**-0.5),
            dict(logits_scaling=1.0),
        ],
        legacy_rope(DEFAULT),
    ),
    "granite_bias": Tiny(
        t.GraniteConfig,
        dict(
            attention_bias=True,
            mlp_bias=True,
            tie_word_embeddings=True,
            attention_multiplier=0.3,
            residual_multiplier=0.8,
        ),
        [Zero("q_proj.bias"), Zero("o_proj.bias"), Zero("up_proj.bias"), Zero("down_proj.bias")],
        {},
        dict(bias=0.2, **TIED),
    ),
    "glm": Tiny(
        t.GlmConfig,
        dict(head_dim=16, attention_bias=False, eos_token_id=0, rope_parameters=GLM_ROPE),
        [dict(rope_parameters={**GLM_ROPE, "partial_rotary_factor": 1.0}), Half(t.models.glm.modeling_glm)],
        GLM_LEGACY,
    ),
    "glm4": Tiny(
        t.Glm4Config,
        dict(head_dim=16, attention_bias=True, eos_token_id=0, rope_parameters=GLM_ROPE),
        [
            dict(rope_parameters={**GLM_ROPE, "partial_rotary_factor": 1.0}),
            Half(t.models.glm4.modeling_glm4),
            Zero("q_proj.bias"),
            Zero("k_proj.bias"),
            One("post_self_attn_layernorm"),
            One("post_mlp_layernorm"),
        ],
        GLM_LEGACY,
        dict(bias=0.2),
    ),
    "olmo2": Tiny(
        t.Olmo2Config,
        dict(num_key_value_heads=4, rope_parameters=DEFAULT),
        [One("q_norm"), One("k_norm"), One("post_attention_layernorm"), One("post_feedforward_layernorm")],
        legacy_rope(DEFAULT),
    ),
    "olmo2_bias": Tiny(
        t.Olmo2Config,
        dict(num_key_value_heads=4, attention_bias=True),
        [Zero("q_proj.bias"), Zero("k_proj.bias"), Zero("o_proj.bias")],
        {},
        dict(bias=0.03, embed=8.0, matrix=3.5),
    ),
    "olmo3": Tiny(
        t.Olmo3Config,
        dict(num_hidden_layers=4, num_key_value_heads=4, sliding_window=24, rope_parameters=OLMO3_ROPE),
        [
            dict(layer_types=[FULL] * 4),
            dict(layer_types=[SLIDE] * 4),
            dict(rope_parameters={FULL: OLMO3_ROPE[SLIDE], SLIDE: OLMO3_ROPE[SLIDE]}),
            One("q_norm"),
        ],
        dict(
            layer_types=None,
            rope_parameters=None,
            rope_theta=500000.0,
            rope_scaling={k: v for k, v in OLMO3_ROPE[FULL].items() if k != "rope_theta"},
        ),
    ),
    "stablelm": Tiny(
        t.StableLmConfig,
        dict(use_qkv_bias=True, **STABLE),
        [
            Zero("v_proj.bias"),
            Zero("input_layernorm.bias"),
            Zero("post_attention_layernorm.bias"),
            Zero("model.norm.bias"),
            dict(rope_parameters={**STABLE_ROPE, "partial_rotary_factor": 1.0}),
        ],
        STABLE_LEGACY,
    ),
    "stablelm_parallel": Tiny(
        t.StableLmConfig,
        dict(use_parallel_residual=True, **STABLE),
        [dict(use_parallel_residual=False), Zero("input_layernorm.bias")],
        STABLE_LEGACY,
    ),
    "smollm3": Tiny(
        t.SmolLM3Config,
        dict(num_hidden_layers=4, no_rope_layer_interval=2, rope_parameters=rope("default", 2000000.0)),
        [dict(no_rope_layers=[1] * 4), dict(no_rope_layers=[0, 1] * 2)],
        dict(layer_types=None, no_rope_layers=None, **legacy_rope(rope("default", 2000000.0))),
        TIED,
    ),
    "smollm3_window": Tiny(
        t.SmolLM3Config,
        dict(
            no_rope_layers=[1, 0, 1],
            use_sliding_window=True,
            sliding_window=24,
            attention_bias=True,
            mlp_bias=True,
            tie_word_embeddings=False,
        ),
        [dict(layer_types=[FULL] * 3), Zero("o_proj.bias"), Zero("up_proj.bias")],
        {},
        dict(bias=0.2),
    ),
    "exaone4": Tiny(
        t.Exaone4Config,
        dict(
            num_hidden_layers=4, sliding_window=24, sliding_window_pattern=2, rope_parameters=rope("default", 1000000.0)
        ),
        [
            dict(layer_types=[SLIDE] * 4),
            dict(layer_types=[FULL] * 4),
            dict(rope_parameters=DEFAULT),
            One("q_norm"),
            One("post_feedforward_layernorm"),
        ],
        dict(layer_types=None, **legacy_rope(rope("default", 1000000.0))),
    ),
    "exaone4_full": Tiny(
        t.Exaone4Config,
        dict(sliding_window=None, layer_types=[FULL] * 3, tie_word_embeddings=True),
        [dict(sliding_window=1000, layer_types=[FULL] * 3)],
        {},
        TIED,
    ),
}
