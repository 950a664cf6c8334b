"""Asks GO Feature Flag's own evaluation engine: questions as JSON lines on stdin, answers as JSON lines on stdout.

A question is [flag key, flag, context]; an answer is what the engine says, or null where it broke down (a panic of the
original, which in Go makes the rule apply to nobody and in WebAssembly ends the engine).
"""

import json
import logging
import sys

from gofeatureflag_python_provider.wasm import EvaluateWasm, WasmEvaluationTrapError, WasmFlagContext, WasmInput

logging.disable(logging.CRITICAL)
engine = EvaluateWasm(pool_size=1)
engine.initialize()
nothing = WasmFlagContext(defaultSdkValue="the caller's own")
for line in sys.stdin:
    key, flag, context = json.loads(line)
    try:
        said = engine.evaluate(WasmInput(flagKey=key, flag=flag, evalContext=context, flagContext=nothing))
        answer = [said.value, said.variationType, said.reason, said.errorCode, said.trackEvents, said.version, said.metadata]
    except WasmEvaluationTrapError:
        answer = None
    sys.stdout.write(json.dumps(answer) + "\n")
