"""Asks GO Feature Flag's own evaluation engine.

On stdin, JSON lines: an object of flags by key, then contexts (in a list of one) for which each of them is evaluated, then
other flags, and so on. On stdout, a line for each context: what the engine says of each flag, or null where it broke down
(a panic of the original, which in Go makes the rule apply to nobody and in WebAssembly ends the engine).
"""

import json
import logging
import os
import sys

from gofeatureflag_python_provider.wasm import EvaluateWasm, WasmEvaluationTrapError, WasmFlagContext, WasmInput

# The engine writes its panics where it thinks that stdout is.
answers = os.fdopen(os.dup(1), "w")
os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
logging.disable(logging.CRITICAL)
engine = EvaluateWasm(pool_size=1)
engine.initialize()
nothing = WasmFlagContext(defaultSdkValue="the caller's own")
flags = {}


def answer(key, flag, context):
    try:
        said = engine.evaluate(WasmInput(flagKey=key, flag=flag, evalContext=context, flagContext=nothing))
    except WasmEvaluationTrapError:
        return None
    return [said.value, said.variationType, said.reason, said.errorCode, said.trackEvents, said.version, said.metadata]


for line in sys.stdin:
    question = json.loads(line)
    if isinstance(question, dict):
        flags = question
        continue
    said = [answer(key, flag, question[0]) for key, flag in flags.items()]
    answers.write(json.dumps(said, ensure_ascii=False, separators=(",", ":")) + "\n")
answers.close()
