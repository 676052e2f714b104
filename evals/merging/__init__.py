"""Merged models: a recipe (base, experts, method, hyper-parameters) becomes a checkpoint folder.

    recipe.py      TOML -> Recipe
    table.py       the methods: parameters, defaults, defects of the released code
    elementwise.py spectral.py optimised.py mergekit_methods.py   their formulas, one tensor at a time
    merger.py      computes one tensor of the result at a time, in buffers that are allocated once
    selection.py   thresholds over whole models, exact and without sorting
    tensors.py lora.py   checkpoints and LoRA adapters, read tensor by tensor
    checks.py      checks before anything is written
    writing.py identity.py build.py   sharded output that can be resumed; hashes of the inputs; the complete merge

torch and safetensors (extra `merge`) are imported inside functions.
"""
